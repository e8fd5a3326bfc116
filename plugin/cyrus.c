/*
 * BROWSERID for Cyrus SASL: the functions of saslplug.h, for both sides.
 *
 * No protocol is spoken here. A server's half asks the host's acceptor, a client's half the person's
 * agent, each by one line for each message (docs/wire.md), and does with libsasl2 what the answer
 * says. What is handled here is only that nobody answers.
 */

#define _GNU_SOURCE
#include <limits.h>
#include <sasl/sasl.h>
#include <sasl/saslplug.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "mechanisms.h"
#include "wire.h"

#define EXPORT __attribute__((visibility("default")))
#define COUNT(array) (sizeof(array) / sizeof *(array))

#define ACCEPTOR_AT "the acceptor at"
#define AGENT_AT "the agent, which " AGENT " starts, at"

enum { SENTENCE_SIZE = 1024, BINDING_SIZE = 64 };

/* One connection's authentication, on either side. */
struct exchange {
    const char *mechanism;
    struct wire *wire;          /* while an answer is due, or another message */
    unsigned id;                /* of the request on it */
    bool plus_listed;           /* server: the mechanism's name with -PLUS is listed too */
    bool begun;                 /* the service has been asked */
    bool named;                 /* client: it is known who logs in */
    int refused;                /* the code to end with: the other side has been told already */
    char *output;               /* what was handed to libsasl2 last */
    char binding[BINDING_SIZE]; /* type of the channel binding that was used */
    char why[SENTENCE_SIZE];    /* for sasl_errdetail, of `refused` */
    char *authname, *authzid;   /* client: what the program calls the person */
};

/* What both sides' parameters have, under one name. */
struct surroundings {
    const sasl_utils_t *utils;
    const char *service, *host;
    const sasl_channel_binding_t *binding;
    const sasl_security_properties_t *properties;
};

/* Failing */

static int fail(const sasl_utils_t *utils, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A fault on this machine: for the log of whoever sees to it, and for the program. */
static int fail(const sasl_utils_t *utils, int code, const char *format, ...) {
    char why[SENTENCE_SIZE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    utils->log(utils->conn, SASL_LOG_ERR, "BROWSERID: %s", why);
    utils->seterror(utils->conn, SASL_NOLOG, "%s", why);
    return code;
}

static int result_of(enum wire_status status) {
    return status == WIRE_TOO_LONG ? SASL_BUFOVER : status == WIRE_NO_MEMORY ? SASL_NOMEM : SASL_UNAVAIL;
}

/* The service did not answer as it should. Nobody's name or key is in doubt: it is no refusal. */
static int lose(struct exchange *exchange, const sasl_utils_t *utils, const char *what,
                const char *path, enum wire_status status) {
    /* Before the wire is closed: the path may be in it. */
    int code = fail(utils, result_of(status), "%s %s: %s", what, path, wire_words(status));

    wire_close(exchange->wire);
    exchange->wire = NULL;
    return code;
}

static int new_exchange(const sasl_utils_t *utils, const char *mechanism, bool plus_listed,
                        void **conn_context) {
    struct exchange *exchange = utils->calloc(1, sizeof *exchange);

    *conn_context = exchange;
    if (!exchange)
        return fail(utils, SASL_NOMEM, "out of memory");
    exchange->mechanism = mechanism;
    exchange->plus_listed = plus_listed;
    return SASL_OK;
}

static void dispose(void *conn_context, const sasl_utils_t *utils) {
    struct exchange *exchange = conn_context;

    if (!exchange)
        return;
    wire_close(exchange->wire);
    free(exchange->output);
    free(exchange->authname);
    free(exchange->authzid);
    utils->free(exchange);
}

/* Asking */

/* What both sides tell: where the login happens, and what the channel has to bind to. */
static void tell_surroundings(struct wire *wire, const struct surroundings *here,
                              const char *prefix) {
    const sasl_channel_binding_t *binding = here->binding;

    if (here->host)
        wire_text(wire, prefix, "host", here->host);
    if (binding) {
        char name[BINDING_SIZE];

        snprintf(name, sizeof name, "cb.%s", binding->name);
        wire_octets(wire, prefix, name, binding->data, binding->len);
    }
    if (binding && binding->critical)
        wire_text(wire, prefix, "cb_critical", "1");
    if (here->properties->security_flags & SASL_SEC_MUTUAL_AUTH)
        wire_text(wire, prefix, "mutual", "1");
}

/* One message, and the service's answer to it. The exchange's wire holds the answer's texts. */
static int ask(struct exchange *exchange, const sasl_utils_t *utils, const char *what,
               struct wire_line *answer) {
    enum wire_status status;

    if (!wire_is_ours(exchange->wire))
        return lose(exchange, utils, what, exchange->wire->path, WIRE_CLOSED);
    status = wire_ask(exchange->wire, exchange->id, answer);
    if (status != WIRE_OK)
        return lose(exchange, utils, what, exchange->wire->path, status);
    return SASL_OK;
}

/* Hand base64 over as output, which has to live until the next step. */
static bool keep_output(struct exchange *exchange, const char *base64, const char **output,
                        unsigned *length) {
    size_t octets;

    free(exchange->output);
    exchange->output = strdup(base64);
    if (!exchange->output || !wire_decode(exchange->output, &octets))
        return false;
    *output = exchange->output;
    *length = (unsigned)octets;
    return true;
}

static int number_of(const struct wire_line *line, const char *name, int otherwise) {
    const char *text = wire_value(line, name);
    char *end;
    long number = text ? strtol(text, &end, 10) : 0;

    return text && *text && !*end && number >= INT_MIN && number <= INT_MAX ? (int)number
                                                                           : otherwise;
}

/* Note a refusal with its reason: in the log once, for the program when the exchange ends by it. */
static int note_refusal(struct exchange *exchange, const struct surroundings *here,
                        const struct wire_line *line, const char *prefix) {
    char name[32];
    const char *why;

    snprintf(name, sizeof name, "%sdetail", prefix);
    why = wire_value(line, name);
    snprintf(exchange->why, sizeof exchange->why, "%s", why ? why : "authentication failed");
    snprintf(name, sizeof name, "%slevel", prefix);
    here->utils->log(here->utils->conn, number_of(line, name, SASL_LOG_FAIL),
                     "BROWSERID: %s %s/%s: %s", exchange->mechanism, here->service,
                     here->host ? here->host : "", exchange->why);
    snprintf(name, sizeof name, "%ssasl", prefix);
    exchange->refused = number_of(line, name, SASL_BADAUTH);
    if (exchange->refused >= SASL_OK) /* nothing that comes here is a success */
        exchange->refused = SASL_BADAUTH;
    return exchange->refused;
}

static int end_refused(const struct exchange *exchange, const sasl_utils_t *utils) {
    utils->seterror(utils->conn, SASL_NOLOG, "%s", exchange->why);
    return exchange->refused;
}

static int give_back(struct exchange *exchange, int code) {
    wire_give_back(exchange->wire);
    exchange->wire = NULL;
    return code;
}

typedef int canon_user_function(sasl_conn_t *, const char *, unsigned, unsigned,
                                sasl_out_params_t *);

/* Tell libsasl2 who it is; there is no security layer. */
static int finish(const struct exchange *exchange, const struct surroundings *here,
                  const char *identity, const char *authzid, canon_user_function *canon_user,
                  unsigned verified, sasl_out_params_t *oparams) {
    bool same = strcmp(identity, authzid) == 0;
    int code;

    code = canon_user(here->utils->conn, identity, 0,
                      SASL_CU_AUTHID | verified | (same ? SASL_CU_AUTHZID : 0), oparams);
    if (code == SASL_OK && !same)
        code = canon_user(here->utils->conn, authzid, 0, SASL_CU_AUTHZID | verified, oparams);
    if (code != SASL_OK) {
        here->utils->log(here->utils->conn, SASL_LOG_FAIL,
                         "BROWSERID: %s %s/%s: the program does not take the name %s: %s",
                         exchange->mechanism, here->service, here->host ? here->host : "", identity,
                         sasl_errstring(code, NULL, NULL));
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

/* Servers */

static const char *option(const sasl_utils_t *utils, const char *name) {
    const char *value = NULL;

    if (utils->getopt(utils->getopt_context, NULL, name, &value, NULL) != SASL_OK)
        return NULL;
    return value;
}

static int server_new(void *glob_context, sasl_server_params_t *sparams, const char *challenge,
                      unsigned challen, void **conn_context) {
    const sasl_server_plug_t *plug = glob_context;

    (void)challenge;
    (void)challen;
    return new_exchange(sparams->utils, plug->mech_name,
                        (plug->features & SASL_FEAT_CHANNEL_BINDING) != 0, conn_context);
}

/* An address as libsasl2 has it, `192.0.2.1;993`: one field for the address, one for the port. */
static void tell_address(struct wire *wire, const char *address, const char *ip,
                         const char *port) {
    const char *semicolon = address ? strchr(address, ';') : NULL;
    char text[64];

    if (!semicolon || semicolon - address >= (ptrdiff_t)sizeof text)
        return;
    snprintf(text, sizeof text, "%.*s", (int)(semicolon - address), address);
    wire_text(wire, "", ip, text);
    wire_text(wire, "", port, semicolon + 1);
}

static void tell_options(struct wire *wire, const sasl_utils_t *utils) {
    for (size_t i = 0; i < COUNT(options); i++) {
        const char *value = option(utils, options[i]);

        if (value)
            wire_text(wire, "bid_opt.", options[i] + strlen("browserid_"), value);
    }
}

static int begin_server(struct exchange *exchange, const sasl_server_params_t *sparams,
                        const struct surroundings *here) {
    const char *path = option(sparams->utils, "browserid_socket");
    enum wire_status status;
    struct wire *wire;

    if (!path)
        path = ACCEPTOR;
    wire = exchange->wire = wire_take(path, &wire_acceptor, &status);
    if (!wire)
        return lose(exchange, sparams->utils, ACCEPTOR_AT, path, status);
    exchange->id = ++wire->last_id;
    exchange->begun = true;
    wire_begin(wire, "AUTH", exchange->id);
    wire_word(wire, exchange->mechanism);
    wire_text(wire, "", "service", here->service);
    tell_address(wire, sparams->iplocalport, "lip", "lport");
    tell_address(wire, sparams->ipremoteport, "rip", "rport");
    wire_text(wire, "", "bid", "1");
    /* Who may act as whom is the program's own policy, which libsasl2 asks. */
    wire_text(wire, "bid_", "authz", "1");
    if (!exchange->plus_listed)
        wire_text(wire, "bid_", "plus_unlisted", "1");
    tell_surroundings(wire, here, "bid_");
    tell_options(wire, sparams->utils);
    return SASL_OK;
}

/*
 * Lifetime and attributes of the peer, for sasl_auxprop_getctx(). libsasl2 refuses those that the
 * application has not requested, which is as it should be.
 */
static void publish(const sasl_server_params_t *sparams, const struct wire_line *line) {
    static const char prefix[] = "bid_prop.";

    for (int i = 2; sparams->propctx && i < line->count; i++) {
        char *name = line->fields[i] + strlen(prefix), *equals;

        if (strncmp(line->fields[i], prefix, strlen(prefix)) != 0 || !(equals = strchr(name, '=')))
            continue;
        *equals = '\0';
        (void)sparams->utils->prop_set(sparams->propctx, name, equals + 1, -1);
        *equals = '=';
    }
}

static int finish_server(struct exchange *exchange, const sasl_server_params_t *sparams,
                         const struct surroundings *here, const struct wire_line *line,
                         sasl_out_params_t *oparams) {
    const char *user = wire_value(line, "user"), *authzid = wire_value(line, "bid_authzid");
    const char *binding = wire_value(line, "bid_binding");
    int code;

    if (!user || !*user)
        return fail(sparams->utils, SASL_UNAVAIL, "the acceptor did not say who logged in");
    code = finish(exchange, here, user, authzid ? authzid : user, sparams->canon_user,
                  SASL_CU_EXTERNALLY_VERIFIED, oparams);
    if (code != SASL_OK)
        return code;
    /* Not before the program has agreed to the name: what belongs to nobody is not published. */
    publish(sparams, line);
    oparams->cbindingdisp = SASL_CB_DISP_NONE;
    if (binding) {
        snprintf(exchange->binding, sizeof exchange->binding, "%s", binding);
        oparams->cbindingdisp = SASL_CB_DISP_USED;
        oparams->cbindingname = exchange->binding;
    } else if (exchange->plus_listed && wire_value(line, "bid_cb_want")) {
        /* One that was not told the name with -PLUS is right to think that we do not bind. */
        oparams->cbindingdisp = SASL_CB_DISP_WANT;
    }
    return SASL_OK;
}

static int take_server_answer(struct exchange *exchange, const sasl_server_params_t *sparams,
                              const struct surroundings *here, const struct wire_line *line,
                              const char **serverout, unsigned *serveroutlen,
                              sasl_out_params_t *oparams) {
    const char *verb = line->fields[0], *output = wire_value(line, "resp");

    if (strcmp(verb, "OK") == 0) {
        if (output && !keep_output(exchange, output, serverout, serveroutlen))
            return lose(exchange, sparams->utils, ACCEPTOR_AT, exchange->wire->path,
                        WIRE_STRANGE);
        return give_back(exchange, finish_server(exchange, sparams, here, line, oparams));
    }
    if (strcmp(verb, "FAIL") == 0) {
        int code = note_refusal(exchange, here, line, "bid_");

        /* The client is told why before it is refused; many hang up on it. */
        if (output && keep_output(exchange, output, serverout, serveroutlen))
            return give_back(exchange, SASL_CONTINUE);
        give_back(exchange, code);
        return end_refused(exchange, sparams->utils);
    }
    if (strcmp(verb, "CONT") == 0 && line->count > 2 &&
        keep_output(exchange, line->fields[2], serverout, serveroutlen))
        return SASL_CONTINUE;
    return lose(exchange, sparams->utils, ACCEPTOR_AT, exchange->wire->path, WIRE_STRANGE);
}

static int server_step(void *conn_context, sasl_server_params_t *sparams, const char *clientin,
                       unsigned clientinlen, const char **serverout, unsigned *serveroutlen,
                       sasl_out_params_t *oparams) {
    const struct surroundings here = {sparams->utils, sparams->service, sparams->serverFQDN,
                                      sparams->cbinding, &sparams->props};
    struct exchange *exchange = conn_context;
    struct wire_line answer;
    int code = SASL_OK;

    *serverout = NULL;
    *serveroutlen = 0;
    if (exchange->refused)
        return end_refused(exchange, sparams->utils);
    if (exchange->begun && !exchange->wire)
        return fail(sparams->utils, SASL_BADPARAM, "the exchange is over");
    if (!exchange->begun) {
        code = begin_server(exchange, sparams, &here);
        if (code == SASL_OK)
            wire_octets(exchange->wire, "", "resp", clientin, clientinlen);
    } else {
        wire_begin(exchange->wire, "CONT", exchange->id);
        wire_octets(exchange->wire, "", "", clientin, clientinlen);
    }
    if (code == SASL_OK)
        code = ask(exchange, sparams->utils, ACCEPTOR_AT, &answer);
    if (code != SASL_OK)
        return code;
    return take_server_answer(exchange, sparams, &here, &answer, serverout, serveroutlen, oparams);
}

/* Clients */

static int client_new(void *glob_context, sasl_client_params_t *cparams, void **conn_context) {
    (void)cparams;
    return new_exchange(cparams->utils, glob_context, true, conn_context);
}

/*
 * The answer to one question, from its prompt or its callback. SASL_OK with NULL: the program has
 * nothing to say on it. SASL_INTERACT: it has to be asked. Else the program's own refusal.
 */
static int find_answer(const sasl_utils_t *utils, unsigned long id, const sasl_interact_t *prompt,
                       const char **answer) {
    sasl_callback_ft callback = NULL;
    void *context = NULL;
    int code;

    *answer = NULL;
    for (; prompt && prompt->id != SASL_CB_LIST_END; prompt++)
        if (prompt->id == id) {
            *answer = prompt->result ? prompt->result : "";
            return SASL_OK;
        }
    code = utils->getcallback(utils->conn, id, &callback, &context);
    if (code == SASL_INTERACT)
        return code;
    if (code != SASL_OK || !callback)
        return SASL_OK;
    code = ((sasl_getsimple_t *)(void (*)(void))callback)(context, (int)id, answer, NULL);
    /*
     * A program without a callback for the authentication name is given libsasl2's own, which looks
     * for the Unix account in the environment and fails where that does not say it.
     */
    return code == SASL_FAIL && context == utils->conn ? SASL_OK : code;
}

/* The two questions that may need asking, in one allocation that the next step frees. */
static int make_prompts(const sasl_utils_t *utils, bool authname, bool authzid,
                        sasl_interact_t **prompt_need) {
    sasl_interact_t *prompt = utils->calloc(3, sizeof *prompt);

    if (!prompt)
        return fail(utils, SASL_NOMEM, "out of memory");
    *prompt_need = prompt;
    if (authname) {
        prompt->id = SASL_CB_AUTHNAME;
        prompt->challenge = "Authentication Name";
        prompt->prompt = "E-mail address to log in with (empty for the default identity)";
        prompt++;
    }
    if (authzid) {
        prompt->id = SASL_CB_USER;
        prompt->challenge = "Authorization Name";
        prompt->prompt = "Name to act as (empty for your own)";
        prompt++;
    }
    prompt->id = SASL_CB_LIST_END;
    return SASL_INTERACT;
}

static bool keep_name(char **kept, const char *name) {
    *kept = strdup(name ? name : "");
    return *kept != NULL;
}

/* Learn who logs in, asking the program where it wants to be asked. */
static int name_user(struct exchange *exchange, const sasl_utils_t *utils,
                     sasl_interact_t **prompt_need) {
    sasl_interact_t *prompts = prompt_need ? *prompt_need : NULL;
    const char *authname, *authzid;
    int by_name = find_answer(utils, SASL_CB_AUTHNAME, prompts, &authname);
    int by_authzid = find_answer(utils, SASL_CB_USER, prompts, &authzid);
    bool kept = true;

    if (prompts) {
        *prompt_need = NULL;
        utils->free(prompts); /* the answers in it belong to the program */
    }
    if (by_name != SASL_OK && by_name != SASL_INTERACT)
        return by_name;
    if (by_authzid != SASL_OK && by_authzid != SASL_INTERACT)
        return by_authzid;
    if ((by_name == SASL_INTERACT || by_authzid == SASL_INTERACT) && prompt_need)
        return make_prompts(utils, by_name == SASL_INTERACT, by_authzid == SASL_INTERACT,
                            prompt_need);
    kept = keep_name(&exchange->authname, authname) && keep_name(&exchange->authzid, authzid);
    exchange->named = kept;
    return kept ? SASL_OK : fail(utils, SASL_NOMEM, "out of memory");
}

static int begin_client(struct exchange *exchange, const sasl_client_params_t *cparams,
                        const struct surroundings *here) {
    static const char *const dispositions[] = {"none", "want", "used"};
    enum wire_status status;
    char path[PATH_MAX];
    struct wire *wire;

    wire = exchange->wire = agent_take(path, sizeof path, &status);
    if (!wire)
        return lose(exchange, cparams->utils, AGENT_AT, path, status);
    exchange->id = ++wire->last_id;
    exchange->begun = true;
    wire_begin(wire, "INIT", exchange->id);
    wire_word(wire, exchange->mechanism);
    wire_text(wire, "", "service", here->service);
    wire_text(wire, "", "authname", exchange->authname);
    wire_text(wire, "", "authzid", exchange->authzid);
    if (cparams->cbindingdisp < COUNT(dispositions))
        wire_text(wire, "", "cb_flag", dispositions[cparams->cbindingdisp]);
    tell_surroundings(wire, here, "");
    agent_tell_displays(wire);
    return SASL_OK;
}

static int take_client_answer(struct exchange *exchange, const sasl_client_params_t *cparams,
                              const struct surroundings *here, const struct wire_line *line,
                              const char **clientout, unsigned *clientoutlen,
                              sasl_out_params_t *oparams) {
    const char *verb = line->fields[0];

    if (strcmp(verb, "FAIL") == 0) {
        give_back(exchange, note_refusal(exchange, here, line, ""));
        return end_refused(exchange, cparams->utils);
    }
    if (line->count > 2 && keep_output(exchange, line->fields[2], clientout, clientoutlen)) {
        const char *user = wire_value(line, "user"), *authzid = wire_value(line, "authzid");

        if (strcmp(verb, "CONT") == 0)
            return SASL_CONTINUE;
        if (strcmp(verb, "OK") == 0 && user) {
            if (*clientoutlen == 0)
                *clientout = NULL; /* the server's word of success needs no answer */
            return give_back(exchange, finish(exchange, here, user, authzid ? authzid : user,
                                              cparams->canon_user, 0, oparams));
        }
    }
    return lose(exchange, cparams->utils, AGENT_AT, exchange->wire->path, WIRE_STRANGE);
}

static int client_step(void *conn_context, sasl_client_params_t *cparams, const char *serverin,
                       unsigned serverinlen, sasl_interact_t **prompt_need, const char **clientout,
                       unsigned *clientoutlen, sasl_out_params_t *oparams) {
    const struct surroundings here = {cparams->utils, cparams->service, cparams->serverFQDN,
                                      cparams->cbinding, &cparams->props};
    struct exchange *exchange = conn_context;
    struct wire_line answer;
    int code = SASL_OK;

    *clientout = NULL;
    *clientoutlen = 0;
    if (exchange->refused)
        return end_refused(exchange, cparams->utils);
    if (!exchange->named)
        code = name_user(exchange, cparams->utils, prompt_need);
    if (code != SASL_OK)
        return code;
    if (!exchange->begun) {
        code = begin_client(exchange, cparams, &here);
        if (code == SASL_OK && serverinlen > 0)
            wire_octets(exchange->wire, "", "challenge", serverin, serverinlen);
    } else if (!exchange->wire) {
        return fail(cparams->utils, SASL_BADPARAM, "the exchange is over");
    } else {
        wire_begin(exchange->wire, "CONT", exchange->id);
        wire_octets(exchange->wire, "", "", serverin, serverinlen);
    }
    if (code == SASL_OK)
        code = ask(exchange, cparams->utils, AGENT_AT, &answer);
    if (code != SASL_OK)
        return code;
    return take_client_answer(exchange, cparams, &here, &answer, clientout, clientoutlen, oparams);
}

/* What there is */

#define SECURITY                                                                                 \
    (SASL_SEC_NOPLAINTEXT | SASL_SEC_NOACTIVE | SASL_SEC_NODICTIONARY | SASL_SEC_NOANONYMOUS |   \
     SASL_SEC_MUTUAL_AUTH)
#define FEATURES                                                                                 \
    (SASL_FEAT_WANT_CLIENT_FIRST | SASL_FEAT_ALLOWS_PROXY | SASL_FEAT_GSS_FRAMING |              \
     SASL_FEAT_CHANNEL_BINDING)

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

/*
 * Whether another plugin has a mechanism already: Cyrus's own for GS2, by our module for GSS-API,
 * which says the same on the wire. libsasl2 would list it twice.
 */
static void find_server(server_sasl_mechanism_t *mechanism, sasl_info_callback_stage_t stage,
                        void *found) {
    if (mechanism && stage == SASL_INFO_LIST_MECH)
        *(bool *)found = true;
}

static void find_client(client_sasl_mechanism_t *mechanism, sasl_info_callback_stage_t stage,
                        void *found) {
    if (mechanism && stage == SASL_INFO_LIST_MECH)
        *(bool *)found = true;
}

static bool server_has(const char *name) {
    bool found = false;

    (void)sasl_server_plugin_info(name, find_server, &found);
    return found;
}

static bool client_has(const char *name) {
    bool found = false;

    (void)sasl_client_plugin_info(name, find_client, &found);
    return found;
}

/* What a mechanism promises. Nothing that depends on the service, which is not asked yet. */
static unsigned security_of(bool key_exchange) {
    return SECURITY | (key_exchange ? SASL_SEC_FORWARD_SECRECY : 0);
}

/* The last mechanism given is the first that libsasl2 lists: the table has the preferred first. */

/* Which release this is, for `browserid doctor` to find in the file. */
EXPORT extern const char browserid_sasl_release[];
const char browserid_sasl_release[] = "browserid-sasl-release " RELEASE;

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
        if (is_listed(wanted, mechanisms[i].name, mechanisms[i].key_exchange) &&
            !server_has(mechanisms[i].name)) {
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
    if (!agent_is_of_use()) /* libsasl2 would prefer us, and not go back to a password */
        return SASL_OK;
    for (size_t i = COUNT(mechanisms); i-- > 0;)
        if (is_listed(wanted, mechanisms[i].name, mechanisms[i].key_exchange) &&
            !client_has(mechanisms[i].name))
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
