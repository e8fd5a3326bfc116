/*
 * BROWSERID for Cyrus SASL: the functions of saslplug.h, for both sides.
 *
 * No protocol is spoken here. Each function hands its arguments to an object of the Python module
 * browserid_sasl.cyrus and does with libsasl2 what the tuple it gets back says. That module
 * catches every exception and words every message; what is handled here is only that Python can
 * not be started or runs out of memory.
 *
 * The application's callbacks (log, canon_user, prompts) run without the interpreter's lock: they
 * may take locks of their own.
 */

#define _GNU_SOURCE
#include "interpreter.h"

#include <dirent.h>
#include <limits.h>
#include <pwd.h>
#include <sasl/sasl.h>
#include <sasl/saslplug.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mechanisms.h"

#define DESCRIPTION_SIZE 1024

#define EXPORT __attribute__((visibility("default")))
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* One connection's authentication, on either side. */
struct exchange {
    PyObject *object;  /* browserid_sasl.cyrus.ServerExchange or ClientExchange */
    PyObject *outcome; /* the last tuple from take(): owns what was handed to libsasl2 */
    bool named;        /* client: has been told who logs in */
};

/* What take() returns: the fields of browserid_sasl.cyrus.Outcome in their order. */
struct outcome {
    int code;             /* SASL_OK, SASL_CONTINUE or an error */
    const char *output;   /* to send, or NULL */
    Py_ssize_t length;    /* of output */
    int level;            /* SASL_LOG_* of message */
    const char *message;  /* for the log, or NULL */
    const char *detail;   /* for sasl_errdetail(), or NULL */
    const char *identity; /* who authenticated */
    const char *authzid;  /* who it acts as, the same pointer or text if itself */
    unsigned disposition; /* SASL_CB_DISP_* that the client chose */
    const char *binding;  /* type of the channel binding, or NULL */
    PyObject *properties; /* tuple of (name, value) for the application's property context */
};

static int fail(const sasl_utils_t *utils, int code, int level, const char *why) {
    utils->log(utils->conn, level, "BROWSERID: %s", why);
    utils->seterror(utils->conn, SASL_NOLOG, "%s", why);
    return code;
}

/* The exception that is set, which browserid_sasl.cyrus did not expect. Needs the lock. */
static int unexpected(char *why, size_t size) {
    bool no_memory = PyErr_ExceptionMatches(PyExc_MemoryError);
    bool bad_text = PyErr_ExceptionMatches(PyExc_ValueError);

    PyErr_Clear();
    snprintf(why, size, "%s", no_memory  ? "out of memory"
                              : bad_text ? "a parameter is not UTF-8 or has a zero octet"
                                         : "internal error between libsasl2 and Python");
    return no_memory ? SASL_NOMEM : bad_text ? SASL_BADPARAM : SASL_FAIL;
}

/* The options of the program's SASL configuration that the module knows, as a dictionary. */
static PyObject *read_options(PyObject *bridge, const sasl_utils_t *utils) {
    PyObject *names = PyObject_GetAttrString(bridge, "OPTIONS");
    PyObject *options = PyDict_New();
    Py_ssize_t i, count = names ? PyTuple_Size(names) : -1;

    for (i = 0; options && i < count; i++) {
        const char *name = PyUnicode_AsUTF8(PyTuple_GET_ITEM(names, i));
        const char *value = NULL;
        PyObject *text;

        if (!name)
            break;
        if (utils->getopt(utils->getopt_context, NULL, name, &value, NULL) != SASL_OK || !value)
            continue;
        text = PyUnicode_FromString(value);
        if (!text || PyDict_SetItemString(options, name, text) != 0) {
            Py_XDECREF(text);
            break;
        }
        Py_DECREF(text);
    }
    Py_XDECREF(names);
    if (i != count)
        Py_CLEAR(options);
    return options;
}

static int new_exchange(const char *kind, const char *mechanism, const sasl_utils_t *utils,
                        const char *service, const char *host,
                        const sasl_channel_binding_t *binding, bool plus_listed,
                        unsigned disposition, const sasl_security_properties_t *props,
                        void **conn_context) {
    struct python_section section;
    char why[DESCRIPTION_SIZE];
    PyObject *bridge, *options;
    struct exchange *exchange;
    int code = SASL_OK;

    *conn_context = NULL;
    exchange = utils->calloc(1, sizeof *exchange);
    if (!exchange)
        return fail(utils, SASL_NOMEM, SASL_LOG_ERR, "out of memory");
    bridge = python_enter(&section, why, sizeof why);
    if (!bridge) {
        utils->free(exchange);
        return fail(utils, SASL_UNAVAIL, SASL_LOG_ERR, why);
    }
    options = read_options(bridge, utils);
    if (options)
        exchange->object = PyObject_CallMethod(
            bridge, kind, "sOzzzy#iIii", mechanism, options, service, host,
            binding ? binding->name : NULL, binding ? (const char *)binding->data : "",
            binding ? (Py_ssize_t)binding->len : 0, binding && binding->critical, disposition,
            (props->security_flags & SASL_SEC_MUTUAL_AUTH) != 0, plus_listed);
    Py_XDECREF(options);
    if (!exchange->object)
        code = unexpected(why, sizeof why);
    python_leave(&section);
    if (code != SASL_OK) {
        utils->free(exchange);
        return fail(utils, code, SASL_LOG_ERR, why);
    }
    *conn_context = exchange;
    return SASL_OK;
}

static void dispose(void *conn_context, const sasl_utils_t *utils) {
    struct exchange *exchange = conn_context;
    struct python_section section;
    char why[DESCRIPTION_SIZE];

    if (!exchange)
        return;
    if (python_enter(&section, why, sizeof why)) {
        Py_CLEAR(exchange->outcome);
        Py_CLEAR(exchange->object);
        python_leave(&section);
    }
    utils->free(exchange);
}

/* Call take(); the outcome's texts live until the next call. False if there is none. */
static bool take_outcome(struct exchange *exchange, const char *input, unsigned length,
                         struct outcome *outcome) {
    Py_CLEAR(exchange->outcome);
    exchange->outcome =
        PyObject_CallMethod(exchange->object, "take", "y#", input ? input : "", (Py_ssize_t)length);
    return exchange->outcome && PyArg_ParseTuple(exchange->outcome, "iz#izzzzIzO!", &outcome->code,
                                                 &outcome->output, &outcome->length,
                                                 &outcome->level, &outcome->message,
                                                 &outcome->detail, &outcome->identity,
                                                 &outcome->authzid, &outcome->disposition,
                                                 &outcome->binding, &PyTuple_Type,
                                                 &outcome->properties);
}

/*
 * Lifetime and attributes of the peer, for sasl_auxprop_getctx(). libsasl2 refuses those that the
 * application has not requested, which is as it should be.
 */
static void publish(const sasl_utils_t *utils, struct propctx *context, PyObject *properties) {
    for (Py_ssize_t i = 0; context && i < PyTuple_GET_SIZE(properties); i++) {
        const char *name, *value;

        if (PyArg_ParseTuple(PyTuple_GET_ITEM(properties, i), "ss", &name, &value))
            (void)utils->prop_set(context, name, value, -1);
        else
            PyErr_Clear();
    }
}

/* One step on either side, with what goes to the log and to sasl_errdetail(). */
static int step(struct exchange *exchange, const sasl_utils_t *utils, const char *input,
                unsigned length, const char **output, unsigned *output_length,
                struct propctx *properties, struct outcome *outcome) {
    struct python_section section;
    char why[DESCRIPTION_SIZE];
    bool taken;
    int code = SASL_FAIL;

    *output = NULL;
    *output_length = 0;
    if (!python_enter(&section, why, sizeof why))
        return fail(utils, SASL_UNAVAIL, SASL_LOG_ERR, why);
    taken = take_outcome(exchange, input, length, outcome);
    if (taken)
        publish(utils, properties, outcome->properties);
    else
        code = unexpected(why, sizeof why);
    python_leave(&section);

    if (!taken)
        return fail(utils, code, SASL_LOG_ERR, why);
    if (outcome->message)
        utils->log(utils->conn, outcome->level, "BROWSERID: %s", outcome->message);
    if (outcome->detail)
        utils->seterror(utils->conn, SASL_NOLOG, "%s", outcome->detail);
    *output = outcome->output;
    *output_length = (unsigned)outcome->length;
    return outcome->code;
}

typedef int canon_user_function(sasl_conn_t *, const char *, unsigned, unsigned,
                                sasl_out_params_t *);

/* Tell libsasl2 who it is; there is no security layer. */
static int finish(const struct outcome *outcome, const sasl_utils_t *utils,
                  canon_user_function *canon_user, unsigned verified, sasl_out_params_t *oparams) {
    bool same;
    int code;

    if (!outcome->identity || !outcome->authzid)
        return SASL_FAIL;
    same = strcmp(outcome->identity, outcome->authzid) == 0;
    code = canon_user(utils->conn, outcome->identity, 0,
                      SASL_CU_AUTHID | verified | (same ? SASL_CU_AUTHZID : 0), oparams);
    if (code == SASL_OK && !same)
        code = canon_user(utils->conn, outcome->authzid, 0, SASL_CU_AUTHZID | verified, oparams);
    if (code != SASL_OK) {
        utils->log(utils->conn, SASL_LOG_ERR, "BROWSERID: the name %s is refused by canon_user: %s",
                   outcome->identity, sasl_errstring(code, NULL, NULL));
        return code;
    }
    oparams->doneflag = 1;
    oparams->mech_ssf = 0;
    oparams->maxoutbuf = 0;
    oparams->encode_context = NULL;
    oparams->encode = NULL;
    oparams->decode_context = NULL;
    oparams->decode = NULL;
    oparams->param_version = 0;
    return SASL_OK;
}

static int server_new(void *glob_context, sasl_server_params_t *sparams, const char *challenge,
                      unsigned challen, void **conn_context) {
    const sasl_server_plug_t *plug = glob_context;

    (void)challenge;
    (void)challen;
    return new_exchange("server", plug->mech_name, sparams->utils, sparams->service,
                        sparams->serverFQDN, sparams->cbinding,
                        (plug->features & SASL_FEAT_CHANNEL_BINDING) != 0, SASL_CB_DISP_NONE,
                        &sparams->props, conn_context);
}

static int server_step(void *conn_context, sasl_server_params_t *sparams, const char *clientin,
                       unsigned clientinlen, const char **serverout, unsigned *serveroutlen,
                       sasl_out_params_t *oparams) {
    struct outcome outcome;
    int code;

    code = step(conn_context, sparams->utils, clientin, clientinlen, serverout, serveroutlen,
                sparams->propctx, &outcome);
    if (code != SASL_OK)
        return code;
    oparams->cbindingdisp = outcome.disposition;
    oparams->cbindingname = outcome.binding;
    return finish(&outcome, sparams->utils, sparams->canon_user, SASL_CU_EXTERNALLY_VERIFIED,
                  oparams);
}

static int client_new(void *glob_context, sasl_client_params_t *cparams, void **conn_context) {
    return new_exchange("client", glob_context, cparams->utils, cparams->service,
                        cparams->serverFQDN, cparams->cbinding, true, cparams->cbindingdisp,
                        &cparams->props, conn_context);
}

/* The answer to one question, from its prompt or its callback; NULL if it has to be asked. */
static const char *find_answer(const sasl_utils_t *utils, unsigned long id,
                               const sasl_interact_t *prompt) {
    sasl_callback_ft callback;
    const char *answer = NULL;
    void *context = NULL;
    int code;

    for (; prompt && prompt->id != SASL_CB_LIST_END; prompt++)
        if (prompt->id == id)
            return prompt->result ? prompt->result : "";
    code = utils->getcallback(utils->conn, id, &callback, &context);
    if (code == SASL_INTERACT)
        return NULL;
    if (code == SASL_OK && callback)
        (void)((sasl_getsimple_t *)(void (*)(void))callback)(context, (int)id, &answer, NULL);
    return answer ? answer : ""; /* the program may have nothing to say on it */
}

/* The two questions that may need asking, in one allocation that the next step frees. */
static int ask(const sasl_utils_t *utils, const char *authname, const char *authzid,
               sasl_interact_t **prompt_need) {
    sasl_interact_t *prompt = utils->calloc(3, sizeof *prompt);

    if (!prompt)
        return fail(utils, SASL_NOMEM, SASL_LOG_ERR, "out of memory");
    *prompt_need = prompt;
    if (!authname) {
        prompt->id = SASL_CB_AUTHNAME;
        prompt->challenge = "Authentication Name";
        prompt->prompt = "E-mail address to log in with (empty for the default identity)";
        prompt++;
    }
    if (!authzid) {
        prompt->id = SASL_CB_USER;
        prompt->challenge = "Authorization Name";
        prompt->prompt = "Name to act as (empty for your own)";
        prompt++;
    }
    prompt->id = SASL_CB_LIST_END;
    return SASL_INTERACT;
}

/* Tell the exchange who logs in, asking the program first where it wants to be asked. */
static int name_user(struct exchange *exchange, const sasl_utils_t *utils,
                     sasl_interact_t **prompt_need) {
    sasl_interact_t *prompts = prompt_need ? *prompt_need : NULL;
    const char *authname = find_answer(utils, SASL_CB_AUTHNAME, prompts);
    const char *authzid = find_answer(utils, SASL_CB_USER, prompts);
    struct python_section section;
    char why[DESCRIPTION_SIZE];
    PyObject *named;
    int code = SASL_OK;

    if (prompts) {
        utils->free(prompts); /* the answers in it belong to the program */
        *prompt_need = NULL;
    }
    if ((!authname || !authzid) && prompt_need)
        return ask(utils, authname, authzid, prompt_need);

    if (!python_enter(&section, why, sizeof why))
        return fail(utils, SASL_UNAVAIL, SASL_LOG_ERR, why);
    named = PyObject_CallMethod(exchange->object, "name", "zz", authname, authzid);
    if (!named)
        code = unexpected(why, sizeof why);
    Py_XDECREF(named);
    python_leave(&section);
    exchange->named = code == SASL_OK;
    return exchange->named ? SASL_OK : fail(utils, code, SASL_LOG_ERR, why);
}

static int client_step(void *conn_context, sasl_client_params_t *cparams, const char *serverin,
                       unsigned serverinlen, sasl_interact_t **prompt_need, const char **clientout,
                       unsigned *clientoutlen, sasl_out_params_t *oparams) {
    struct exchange *exchange = conn_context;
    struct outcome outcome;
    int code;

    *clientout = NULL;
    *clientoutlen = 0;
    if (!exchange->named) {
        code = name_user(exchange, cparams->utils, prompt_need);
        if (code != SASL_OK)
            return code;
    }
    code = step(exchange, cparams->utils, serverin, serverinlen, clientout, clientoutlen, NULL,
                &outcome);
    if (code != SASL_OK)
        return code;
    return finish(&outcome, cparams->utils, cparams->canon_user, 0, oparams);
}

#define SECURITY                                                                                 \
    (SASL_SEC_NOPLAINTEXT | SASL_SEC_NOACTIVE | SASL_SEC_NODICTIONARY | SASL_SEC_NOANONYMOUS |   \
     SASL_SEC_MUTUAL_AUTH)
#define FEATURES                                                                                 \
    (SASL_FEAT_WANT_CLIENT_FIRST | SASL_FEAT_ALLOWS_PROXY | SASL_FEAT_GSS_FRAMING |              \
     SASL_FEAT_CHANNEL_BINDING)

static const char *option(const sasl_utils_t *utils, const char *name) {
    const char *value = NULL;

    if (utils->getopt(utils->getopt_context, NULL, name, &value, NULL) != SASL_OK)
        return NULL;
    return value;
}

/* Whether a mechanism is listed: if it is wanted, or nothing is and it has key exchange. */
static bool is_listed(const char *wanted, const char *name, bool key_exchange) {
    static const char separators[] = " \t,";

    if (!wanted)
        return key_exchange;
    while (*(wanted += strspn(wanted, separators))) {
        size_t length = strcspn(wanted, separators);

        if (length == strlen(name) && strncasecmp(wanted, name, length) == 0)
            return true;
        wanted += length;
    }
    return false;
}

/*
 * Room in libsasl2's list of mechanisms.
 *
 * sasl_listmech of libsasl2 2.1.28 names a mechanism that has channel binding twice, with -PLUS and
 * without, on a connection that has binding data. With n mechanisms it makes room for 2n names and
 * for 2(n - 1) separators. If all n are named twice, 2n - 1 separators are written: one more, past
 * the end of the buffer, which glibc notices when the connection ends. (imapd's separator is
 * " AUTH=".) It has to be one of the connection's own mechanisms that is named once or not at all,
 * since only these are counted. Where the program has no `mech_list` there always is: EXTERNAL, of
 * libsasl2 itself. Where it has one,
 *
 * - naming BROWSERID-PADDING there makes room: a row that is counted and always refused, so that it
 *   is never listed and nobody can log in by it. There is no such row in programs that do not name
 *   it;
 * - otherwise, if nothing else in `mech_list` makes room, one of our mechanisms is listed without
 *   -PLUS, and a line of the log says why. Clients may bind by it nevertheless. One that says that
 *   it would have is believed that it was not told it could.
 *
 * Nothing better is possible from here: between counting and writing, libsasl2 calls only
 * mech_avail, which cannot reach the buffer.
 *
 * The client's list has no -PLUS, and sasl_global_listmech is a list of pointers.
 */
#define PADDING "BROWSERID-PADDING"

static int refuse_always(void *glob_context, sasl_server_params_t *sparams, void **conn_context) {
    (void)glob_context;
    (void)sparams;
    (void)conn_context;
    return SASL_NOMECH;
}

static void find_room(server_sasl_mechanism_t *mechanism, sasl_info_callback_stage_t stage,
                      void *found) {
    if (stage == SASL_INFO_LIST_MECH && !(mechanism->plug->features & SASL_FEAT_CHANNEL_BINDING))
        *(bool *)found = true;
}

/* Whether something in the connection's list of mechanisms is not named twice. */
static bool has_room(const sasl_utils_t *utils) {
    const char *list = option(utils, "mech_list");
    bool found = false;

    if (!list)
        return true;
    return sasl_server_plugin_info(list, find_room, &found) == SASL_OK && found;
}

/* Called before libsasl2 lists a mechanism: the moment to go without -PLUS, if need be. */
static int server_avail(void *glob_context, sasl_server_params_t *sparams, void **conn_context) {
    sasl_server_plug_t *plug = glob_context;

    (void)conn_context;
    if (!sparams->cbinding || sparams->cbinding->critical || has_room(sparams->utils))
        return SASL_OK;
    /* For the whole process: a program's list hardly changes, and threads may be listing. */
    if (__atomic_fetch_and(&plug->features, ~SASL_FEAT_CHANNEL_BINDING, __ATOMIC_RELAXED) &
        SASL_FEAT_CHANNEL_BINDING)
        sparams->utils->log(sparams->utils->conn, SASL_LOG_WARN,
                            "BROWSERID: %s-PLUS is not offered, since libsasl2 has no room for it: "
                            "add " PADDING " to mech_list",
                            plug->mech_name);
    return SASL_OK;
}

/* What a mechanism promises. Nothing that depends on the configuration, which is not read yet. */
static unsigned security_of(bool key_exchange) {
    return SECURITY | (key_exchange ? SASL_SEC_FORWARD_SECRECY : 0);
}

/*
 * The folder where signing in leaves a link to each store of keys (browserid_sasl.agent.presence):
 * that of the person, whatever configuration they have. False without one, and in a program with a
 * set-user-ID or set-group-ID bit, which is not to read that person's files.
 */
static bool find_signed_in_folder(char *path, size_t size) {
    static const char name[] = "browserid/signed-in";
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    char entries[4096];
    struct passwd account, *found = NULL;
    int length;

    if (getauxval(AT_SECURE))
        return false;
    if (data && *data == '/') {
        length = snprintf(path, size, "%s/%s", data, name);
        return length > 0 && (size_t)length < size;
    }
    if (!home || *home != '/') {
        (void)getpwuid_r(getuid(), &account, entries, sizeof entries, &found);
        home = found ? account.pw_dir : "";
    }
    length = snprintf(path, size, "%s/.local/share/%s", home, name);
    return *home == '/' && length > 0 && (size_t)length < size;
}

/*
 * Whether this person has ever signed in, and not out again. libsasl2 does not fall back from a
 * mechanism that fails: to offer ours to somebody without an identity breaks the logins they have.
 * This runs in every program with SASL. It starts no Python, and makes nothing.
 */
static bool somebody_has_signed_in(void) {
    char path[PATH_MAX];
    struct dirent *entry;
    struct stat status;
    bool found = false;
    DIR *folder;

    if (!find_signed_in_folder(path, sizeof path) || !(folder = opendir(path)))
        return false;
    while (!found && (entry = readdir(folder)))
        found = entry->d_name[0] != '.' && fstatat(dirfd(folder), entry->d_name, &status, 0) == 0 &&
                S_ISREG(status.st_mode);
    closedir(folder);
    return found;
}

/* The last mechanism given is the first that libsasl2 lists: the table has the preferred first. */

EXPORT int sasl_server_plug_init(const sasl_utils_t *utils, int max_version, int *out_version,
                                 sasl_server_plug_t **pluglist, int *plugcount) {
    static sasl_server_plug_t plugs[COUNT(mechanisms) + 1];
    const char *wanted = option(utils, "browserid_mechanisms");
    const char *list = option(utils, "mech_list");

    if (max_version < SASL_SERVER_PLUG_VERSION) {
        utils->log(NULL, SASL_LOG_ERR, "BROWSERID: libsasl2 is too old for this plugin");
        return SASL_BADVERS;
    }
    *out_version = SASL_SERVER_PLUG_VERSION;
    *pluglist = plugs;
    *plugcount = 0;
    for (size_t i = COUNT(mechanisms); i-- > 0;)
        if (is_listed(wanted, mechanisms[i].name, mechanisms[i].key_exchange)) {
            plugs[*plugcount] = (sasl_server_plug_t){
                .mech_name = mechanisms[i].name,
                .security_flags = security_of(mechanisms[i].key_exchange),
                .features = FEATURES | SASL_FEAT_DONTUSE_USERPASSWD,
                .glob_context = &plugs[*plugcount],
                .mech_new = server_new,
                .mech_step = server_step,
                .mech_dispose = dispose,
                .mech_avail = server_avail,
            };
            (*plugcount)++;
        }
    if (is_listed(list, PADDING, false))
        plugs[(*plugcount)++] =
            (sasl_server_plug_t){.mech_name = PADDING, .mech_avail = refuse_always};
    return SASL_OK;
}

EXPORT int sasl_client_plug_init(const sasl_utils_t *utils, int max_version, int *out_version,
                                 sasl_client_plug_t **pluglist, int *plugcount) {
    static const unsigned long no_prompts[] = {SASL_CB_LIST_END};
    static sasl_client_plug_t plugs[COUNT(mechanisms)];
    const char *wanted = option(utils, "browserid_mechanisms");

    if (max_version < SASL_CLIENT_PLUG_VERSION) {
        utils->log(NULL, SASL_LOG_ERR, "BROWSERID: libsasl2 is too old for this plugin");
        return SASL_BADVERS;
    }
    if (!wanted) /* libsasl2 has no configuration file for clients, and few programs an option */
        wanted = secure_getenv("BROWSERID_MECHANISMS");
    *out_version = SASL_CLIENT_PLUG_VERSION;
    *pluglist = plugs;
    *plugcount = 0;
    if (!somebody_has_signed_in())
        return SASL_OK;
    for (size_t i = COUNT(mechanisms); i-- > 0;)
        if (is_listed(wanted, mechanisms[i].name, mechanisms[i].key_exchange))
            plugs[(*plugcount)++] = (sasl_client_plug_t){
                .mech_name = mechanisms[i].name,
                .security_flags = security_of(mechanisms[i].key_exchange),
                .features = FEATURES | SASL_FEAT_NEEDSERVERFQDN,
                .required_prompts = no_prompts,
                .glob_context = (void *)mechanisms[i].name,
                .mech_new = client_new,
                .mech_step = client_step,
                .mech_dispose = dispose,
            };
    return SASL_OK;
}
