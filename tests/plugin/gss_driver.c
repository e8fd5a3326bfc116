/*
 * Both sides of GSS-API contexts in one process, by MIT's mechanism glue:
 *
 *   gss_driver [options] service@host
 *
 *   -m OID   mechanism, as 1.2.3          -s      by SPNEGO
 *   -n N     so many contexts             -t N    in so many threads, each all of them
 *   -f FLAGS what the initiator asks for  -u NAME who the initiator is
 *   -b TEXT  channel binding data, of both; -B TEXT of the acceptor alone, if it is another
 *   -d       the acceptor has the default credential
 *   -D       neither side has any credential
 *   -x       the contexts are exported and imported before they are looked at
 *   -k       a child of a fork goes on with a context that is under way, and makes one of its own
 *   -p       messages are protected in both directions, and altered ones refused
 *   -l USER  an account of this machine, for gss_userok
 *   -e       every other function of the library is called too
 *   -w N     so many contexts before time and what memory has grown by are counted
 *   -A       with failing_malloc.so: each allocation of the module's fails once, in a child that makes a
 *            context; memory that is lost, or another status than for that, is told
 *   -K N     before the N-th token of an exchange is made or taken the COMMAND of -c is run
 *
 * Prints what there is to see of each context, and the library's words for what fails.
 */

#define _GNU_SOURCE
#include <gssapi/gssapi_ext.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *oid_text = "1.3.6.1.4.1.5322.24.1.17", *user, *bound, *bound_there, *account;
static const char *service;
static int count = 1, threads = 1;
static OM_uint32 flags;
static bool spnego, default_acceptor, no_credentials, exports, forks, protects, everything, fails;
static int warm_up, command_at;
static const char *command;
static gss_OID mechanism;

/* What has failed last, in words. */
static _Thread_local char failure[1024];

static gss_buffer_desc text_of(const char *text) {
    return (gss_buffer_desc){strlen(text), (void *)text};
}

static void show(const char *what, gss_buffer_t text) {
    OM_uint32 minor;

    snprintf(failure, sizeof failure, "%.*s", (int)text->length, (char *)text->value);
    printf("%s: %.*s\n", what, (int)text->length, (char *)text->value);
    gss_release_buffer(&minor, text);
}

static void show_status(OM_uint32 status, int type) {
    OM_uint32 minor, more = 0;
    gss_buffer_desc words;

    do {
        if (gss_display_status(&minor, status, type, mechanism, &more, &words) != GSS_S_COMPLETE)
            return;
        show("words", &words);
    } while (more);
}

/* The minor status by reference: what is called with it may be an argument too. */
static bool ok(const char *what, OM_uint32 major, const OM_uint32 *minor) {
    if (!GSS_ERROR(major))
        return true;
    printf("failed: %s major=%#x\n", what, major);
    show_status(major, GSS_C_GSS_CODE);
    show_status(*minor, GSS_C_MECH_CODE);
    return false;
}

static gss_name_t name_of(const char *text, gss_OID type) {
    gss_buffer_desc octets = text_of(text);
    gss_name_t name = GSS_C_NO_NAME;
    OM_uint32 minor, major = gss_import_name(&minor, &octets, type, &name);

    ok("import_name", major, &minor);
    return name;
}

static bool acquire(const char *name, gss_OID type, gss_cred_usage_t usage, gss_cred_id_t *made) {
    static gss_OID_desc spnego_oid = {6, "\x2b\x06\x01\x05\x05\x02"};
    gss_OID_set_desc wanted = {1, spnego ? &spnego_oid : mechanism};
    gss_name_t imported = name ? name_of(name, type) : GSS_C_NO_NAME;
    OM_uint32 minor, major, ignored;

    major = gss_acquire_cred(&minor, imported, GSS_C_INDEFINITE, &wanted, usage, made, NULL, NULL);
    gss_release_name(&ignored, &imported);
    if (ok("acquire_cred", major, &minor) && spnego) {
        gss_OID_set_desc only = {1, mechanism};

        return ok("set_neg_mechs", gss_set_neg_mechs(&minor, *made, &only), &minor);
    }
    return !GSS_ERROR(major);
}

struct pair {
    gss_ctx_id_t initiator, acceptor;
    gss_name_t source;
    gss_OID mechanism;
    OM_uint32 initiator_flags, acceptor_flags;
    bool forked;
};

static gss_channel_bindings_t bindings_of(struct gss_channel_bindings_struct *made,
                                          const char *text) {
    memset(made, 0, sizeof *made);
    if (!text)
        return GSS_C_NO_CHANNEL_BINDINGS;
    made->application_data = text_of(text);
    return made;
}

/* What is under way is the parent's: the child is refused, and can begin anew. */
static void go_on_in_child(struct pair *pair, gss_cred_id_t credential, gss_buffer_t token);

static void run_command(int token) {
    if (token == command_at && system(command) != 0)
        printf("failed: %s\n", command);
}

static bool establish(struct pair *pair, gss_cred_id_t ours, gss_cred_id_t theirs) {
    static gss_OID_desc spnego_oid = {6, "\x2b\x06\x01\x05\x05\x02"};
    struct gss_channel_bindings_struct here, there;
    gss_name_t target = name_of(service, GSS_C_NT_HOSTBASED_SERVICE);
    gss_buffer_desc to = GSS_C_EMPTY_BUFFER, from = GSS_C_EMPTY_BUFFER;
    OM_uint32 minor, ignored, initiates = GSS_S_CONTINUE_NEEDED, accepts = GSS_S_CONTINUE_NEEDED;
    bool good = true;
    int token = 0;

    while (good && (initiates == GSS_S_CONTINUE_NEEDED || accepts == GSS_S_CONTINUE_NEEDED)) {
        run_command(++token);
        initiates = gss_init_sec_context(
            &minor, ours, &pair->initiator, target, spnego ? &spnego_oid : mechanism, flags, 0,
            bindings_of(&here, bound), from.length ? &from : GSS_C_NO_BUFFER, NULL, &to,
            &pair->initiator_flags, NULL);
        gss_release_buffer(&ignored, &from);
        good = ok("init_sec_context", initiates, &minor);
        if (!good || to.length == 0)
            break;
        if (memmem(to.value, to.length, "NEGOEXTS", 8))
            printf("token: by NegoEx\n");
        if (forks && !pair->forked)
            go_on_in_child(pair, theirs, &to);
        run_command(++token);
        accepts = gss_accept_sec_context(&minor, &pair->acceptor, theirs, &to,
                                         bindings_of(&there, bound_there ? bound_there : bound),
                                         &pair->source, &pair->mechanism, &from,
                                         &pair->acceptor_flags, NULL, NULL);
        gss_release_buffer(&ignored, &to);
        good = ok("accept_sec_context", accepts, &minor);
        if (!good && from.length > 0)
            printf("told: %zu\n", from.length);
        if (good && from.length == 0)
            break;
    }
    gss_release_buffer(&ignored, &to);
    gss_release_buffer(&ignored, &from);
    gss_release_name(&ignored, &target);
    return good && initiates == GSS_S_COMPLETE && accepts == GSS_S_COMPLETE;
}

static void delete_pair(struct pair *pair) {
    OM_uint32 minor;

    gss_delete_sec_context(&minor, &pair->initiator, GSS_C_NO_BUFFER);
    gss_delete_sec_context(&minor, &pair->acceptor, GSS_C_NO_BUFFER);
    gss_release_name(&minor, &pair->source);
}

static void go_on_in_child(struct pair *pair, gss_cred_id_t credential, gss_buffer_t token) {
    pid_t child;
    int status;

    pair->forked = true;
    fflush(stdout);
    child = fork();
    if (child == 0) {
        struct pair own = {.forked = true};
        OM_uint32 minor, ignored;
        gss_buffer_desc answer = GSS_C_EMPTY_BUFFER;
        OM_uint32 major = gss_init_sec_context(
            &minor, GSS_C_NO_CREDENTIAL, &pair->initiator, name_of(service, GSS_C_NT_HOSTBASED_SERVICE),
            mechanism, flags, 0, GSS_C_NO_CHANNEL_BINDINGS, token, NULL, &answer, NULL, NULL);

        printf("child: inherited %s\n", GSS_ERROR(major) ? "refused" : "taken");
        gss_release_buffer(&ignored, &answer);
        printf("child: own %s\n", establish(&own, GSS_C_NO_CREDENTIAL, credential) ? "made" : "failed");
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, &status, 0);
    printf("child: status %d\n", status);
}

static void show_attributes(gss_name_t name) {
    gss_buffer_set_t names = GSS_C_NO_BUFFER_SET;
    OM_uint32 minor;

    if (!ok("inquire_name", gss_inquire_name(&minor, name, NULL, NULL, &names), &minor))
        return;
    for (size_t i = 0; names && i < names->count; i++) {
        int more = -1, proven = 0, complete = 0;

        while (more != 0) {
            gss_buffer_desc value = GSS_C_EMPTY_BUFFER, shown = GSS_C_EMPTY_BUFFER;

            if (!ok("get_name_attribute",
                    gss_get_name_attribute(&minor, name, &names->elements[i], &proven, &complete,
                                           &value, &shown, &more),
                    &minor))
                break;
            printf("attribute: %.*s proven=%d value=%.*s\n", (int)names->elements[i].length,
                   (char *)names->elements[i].value, proven, (int)value.length, (char *)value.value);
            gss_release_buffer(&minor, &value);
            gss_release_buffer(&minor, &shown);
        }
    }
    gss_release_buffer_set(&minor, &names);
}

static void show_account(gss_name_t name) {
    gss_buffer_desc local = GSS_C_EMPTY_BUFFER;
    gss_name_t wanted;
    OM_uint32 minor, major = gss_localname(&minor, name, mechanism, &local);

    if (ok("localname", major, &minor))
        show("local", &local);
    if (!account)
        return;
    wanted = name_of(account, GSS_C_NT_USER_NAME);
    major = gss_authorize_localname(&minor, name, wanted);
    printf("may be %s: %d\n", account, major == GSS_S_COMPLETE);
    gss_release_name(&minor, &wanted);
}

static void show_exported(gss_name_t name) {
    gss_buffer_desc octets = GSS_C_EMPTY_BUFFER, shown = GSS_C_EMPTY_BUFFER;
    gss_name_t back = GSS_C_NO_NAME;
    OM_uint32 minor;
    int equal = 0;

    if (!ok("export_name", gss_export_name(&minor, name, &octets), &minor) ||
        !ok("import exported", gss_import_name(&minor, &octets, GSS_C_NT_EXPORT_NAME, &back), &minor)) {
        gss_release_buffer(&minor, &octets);
        return;
    }
    gss_compare_name(&minor, name, back, &equal);
    printf("exported: ");
    for (size_t i = 0; i < octets.length; i++)
        printf("%02x", ((unsigned char *)octets.value)[i]);
    printf(" equal=%d\n", equal);
    if (ok("display_name", gss_display_name(&minor, back, &shown, NULL), &minor))
        show("again", &shown);
    gss_release_buffer(&minor, &octets);
    gss_release_name(&minor, &back);
}

static void show_context(const char *side, gss_ctx_id_t context) {
    gss_name_t source = GSS_C_NO_NAME, target = GSS_C_NO_NAME;
    OM_uint32 minor, lifetime = 0, context_flags = 0;
    gss_buffer_desc first = GSS_C_EMPTY_BUFFER, second = GSS_C_EMPTY_BUFFER;
    int is_local = 0, is_open = 0;

    if (!ok("inquire_context",
            gss_inquire_context(&minor, context, &source, &target, &lifetime, NULL, &context_flags,
                                &is_local, &is_open),
            &minor))
        return;
    ok("display_name", gss_display_name(&minor, source, &first, NULL), &minor);
    ok("display_name", gss_display_name(&minor, target, &second, NULL), &minor);
    printf("%s: %.*s at %.*s flags=%#x local=%d open=%d alive=%d\n", side, (int)first.length,
           (char *)first.value, (int)second.length, (char *)second.value, context_flags, is_local,
           is_open, lifetime > 0);
    gss_release_buffer(&minor, &first);
    gss_release_buffer(&minor, &second);
    gss_release_name(&minor, &source);
    gss_release_name(&minor, &target);
}

static bool expect(const char *what, bool holds) {
    if (!holds)
        printf("not so: %s\n", what);
    return holds;
}

/* That it is refused so, and not for another reason. */
static bool refuses(const char *what, OM_uint32 wanted, OM_uint32 major, const OM_uint32 *minor) {
    return GSS_ERROR(major) == GSS_S_FAILURE ? ok(what, major, minor) : expect(what, major == wanted);
}

static bool same(const gss_buffer_desc *one, const gss_buffer_desc *other) {
    return one->length == other->length && memcmp(one->value, other->value, one->length) == 0;
}

static bool wraps(gss_ctx_id_t from, gss_ctx_id_t to, int seals) {
    gss_buffer_desc message = text_of("a message"), token = GSS_C_EMPTY_BUFFER;
    gss_buffer_desc back = GSS_C_EMPTY_BUFFER;
    OM_uint32 minor, ignored;
    int sealed = -1;
    bool good = ok("wrap", gss_wrap(&minor, from, seals, 0, &message, NULL, &token), &minor) &&
                ok("unwrap", gss_unwrap(&minor, to, &token, &back, &sealed, NULL), &minor) &&
                expect("the message is the same", same(&message, &back)) &&
                expect("it is sealed as was asked", sealed == seals);

    gss_release_buffer(&ignored, &back);
    good = good && refuses("a token is taken once", GSS_S_DUPLICATE_TOKEN,
                           gss_unwrap(&minor, to, &token, &back, NULL, NULL), &minor);
    gss_release_buffer(&ignored, &back);
    if (good)
        ((unsigned char *)token.value)[token.length - 1] ^= 1;
    good = good && refuses("an altered token is refused", GSS_S_BAD_SIG,
                           gss_unwrap(&minor, to, &token, &back, NULL, NULL), &minor);
    gss_release_buffer(&ignored, &token);
    return good;
}

static bool signs(gss_ctx_id_t from, gss_ctx_id_t to) {
    gss_buffer_desc message = text_of("a message"), other = text_of("another"), token;
    OM_uint32 minor, ignored;
    bool good;

    if (!ok("get_mic", gss_get_mic(&minor, from, 0, &message, &token), &minor))
        return false;
    good = refuses("a MIC is of one message", GSS_S_BAD_SIG,
                   gss_verify_mic(&minor, to, &other, &token, NULL), &minor) &&
           ok("verify_mic", gss_verify_mic(&minor, to, &message, &token, NULL), &minor);
    gss_release_buffer(&ignored, &token);
    return good;
}

static bool derives(struct pair *pair) {
    gss_buffer_desc input = text_of("what for"), ours = GSS_C_EMPTY_BUFFER, theirs = GSS_C_EMPTY_BUFFER;
    OM_uint32 minor, ignored;
    bool good =
        ok("pseudo_random",
           gss_pseudo_random(&minor, pair->initiator, GSS_C_PRF_KEY_FULL, &input, 40, &ours), &minor) &&
        ok("pseudo_random",
           gss_pseudo_random(&minor, pair->acceptor, GSS_C_PRF_KEY_FULL, &input, 40, &theirs), &minor) &&
        expect("both ends derive the same", same(&ours, &theirs));

    gss_release_buffer(&ignored, &ours);
    gss_release_buffer(&ignored, &theirs);
    return good;
}

/* In pieces: what is signed only, and what is sealed. */
static bool wraps_pieces(gss_ctx_id_t from, gss_ctx_id_t to) {
    char signed_only[] = "signed", sealed[] = "sealed";
    gss_iov_buffer_desc iov[] = {
        {GSS_IOV_BUFFER_TYPE_HEADER | GSS_IOV_BUFFER_FLAG_ALLOCATE, GSS_C_EMPTY_BUFFER},
        {GSS_IOV_BUFFER_TYPE_SIGN_ONLY, {6, signed_only}},
        {GSS_IOV_BUFFER_TYPE_DATA, {6, sealed}},
        {GSS_IOV_BUFFER_TYPE_PADDING | GSS_IOV_BUFFER_FLAG_ALLOCATE, GSS_C_EMPTY_BUFFER},
        {GSS_IOV_BUFFER_TYPE_TRAILER | GSS_IOV_BUFFER_FLAG_ALLOCATE, GSS_C_EMPTY_BUFFER},
    };
    OM_uint32 minor, ignored;
    bool good = ok("wrap_iov", gss_wrap_iov(&minor, from, 1, 0, NULL, iov, 5), &minor) &&
                expect("it is sealed in its place", memcmp(sealed, "sealed", 6) != 0) &&
                ok("unwrap_iov", gss_unwrap_iov(&minor, to, NULL, NULL, iov, 5), &minor) &&
                expect("it is opened in its place", memcmp(sealed, "sealed", 6) == 0);

    gss_release_iov_buffer(&ignored, iov, 5);
    return good;
}

static bool limits(gss_ctx_id_t context) {
    gss_buffer_desc message, token = GSS_C_EMPTY_BUFFER;
    char octets[1024] = "";
    OM_uint32 minor, ignored, most = 0;
    bool good = ok("wrap_size_limit",
                   gss_wrap_size_limit(&minor, context, 1, 0, sizeof octets, &most), &minor);

    message = (gss_buffer_desc){most, octets};
    good = good && ok("wrap", gss_wrap(&minor, context, 1, 0, &message, NULL, &token), &minor) &&
           expect("what is within the limit fits", token.length <= sizeof octets);
    gss_release_buffer(&ignored, &token);
    return good;
}

static bool protect(struct pair *pair) {
    bool good = derives(pair);

    for (int seals = 0; seals < 2; seals++)
        good = good && wraps(pair->initiator, pair->acceptor, seals) &&
               wraps(pair->acceptor, pair->initiator, seals);
    return good && signs(pair->initiator, pair->acceptor) &&
           signs(pair->acceptor, pair->initiator) &&
           wraps_pieces(pair->initiator, pair->acceptor) &&
           wraps_pieces(pair->acceptor, pair->initiator) && limits(pair->initiator);
}

/* A MIC over pieces, as long as was said it would be. */
static bool signs_pieces(gss_ctx_id_t from, gss_ctx_id_t to) {
    char data[] = "data";
    gss_iov_buffer_desc iov[] = {
        {GSS_IOV_BUFFER_TYPE_DATA, {4, data}},
        {GSS_IOV_BUFFER_TYPE_MIC_TOKEN, GSS_C_EMPTY_BUFFER},
    };
    OM_uint32 minor;
    bool good = ok("get_mic_iov_length", gss_get_mic_iov_length(&minor, from, 0, iov, 2), &minor);

    iov[1].buffer.value = malloc(iov[1].buffer.length);
    good = good && ok("get_mic_iov", gss_get_mic_iov(&minor, from, 0, iov, 2), &minor) &&
           ok("verify_mic_iov", gss_verify_mic_iov(&minor, to, NULL, iov, 2), &minor);
    free(iov[1].buffer.value);
    return good;
}

static bool measures_pieces(gss_ctx_id_t context) {
    gss_iov_buffer_desc iov[] = {
        {GSS_IOV_BUFFER_TYPE_HEADER, GSS_C_EMPTY_BUFFER},
        {GSS_IOV_BUFFER_TYPE_DATA, {4, "data"}},
        {GSS_IOV_BUFFER_TYPE_TRAILER, GSS_C_EMPTY_BUFFER},
    };
    OM_uint32 minor, major = gss_wrap_iov_length(&minor, context, 1, 0, NULL, iov, 3);

    return ok("wrap_iov_length", major, &minor) &&
           expect("header and trailer have a length", iov[0].buffer.length && iov[2].buffer.length);
}

static bool gives_key(gss_ctx_id_t context) {
    gss_buffer_set_t values = GSS_C_NO_BUFFER_SET;
    OM_uint32 minor, major;
    bool good;

    major = gss_inquire_sec_context_by_oid(&minor, context, GSS_C_INQ_SSPI_SESSION_KEY, &values);
    good = ok("inquire_sec_context_by_oid", major, &minor) &&
           expect("the key and what it is for", values->count == 2);
    gss_release_buffer_set(&minor, &values);
    return good;
}

static bool looks_at_contexts(struct pair *pair) {
    OM_uint32 minor, lifetime;

    return ok("context_time", gss_context_time(&minor, pair->acceptor, &lifetime), &minor) &&
           signs_pieces(pair->initiator, pair->acceptor) && measures_pieces(pair->initiator) &&
           gives_key(pair->initiator) && gives_key(pair->acceptor);
}

static bool looks_at_mechanism(void) {
    gss_buffer_desc sasl = GSS_C_EMPTY_BUFFER, name = GSS_C_EMPTY_BUFFER, about = GSS_C_EMPTY_BUFFER;
    gss_OID_set attributes = NULL, known = NULL, types = NULL, all = NULL;
    OM_uint32 minor, ignored;
    gss_OID found = NULL;
    bool good =
        ok("inquire_saslname_for_mech",
           gss_inquire_saslname_for_mech(&minor, mechanism, &sasl, &name, &about), &minor) &&
        ok("inquire_mech_for_saslname", gss_inquire_mech_for_saslname(&minor, &sasl, &found), &minor) &&
        ok("inquire_attrs_for_mech",
           gss_inquire_attrs_for_mech(&minor, mechanism, &attributes, &known), &minor) &&
        ok("inquire_names_for_mech", gss_inquire_names_for_mech(&minor, mechanism, &types), &minor) &&
        ok("indicate_mechs", gss_indicate_mechs(&minor, &all), &minor);

    gss_release_buffer(&ignored, &sasl);
    gss_release_buffer(&ignored, &name);
    gss_release_buffer(&ignored, &about);
    gss_release_oid_set(&ignored, &attributes);
    gss_release_oid_set(&ignored, &known);
    gss_release_oid_set(&ignored, &types);
    gss_release_oid_set(&ignored, &all);
    return good;
}

static bool looks_at_names(gss_name_t name) {
    gss_name_t copy = GSS_C_NO_NAME, canonical = GSS_C_NO_NAME;
    OM_uint32 minor, ignored;
    bool good = ok("duplicate_name", gss_duplicate_name(&minor, name, &copy), &minor) &&
                ok("canonicalize_name", gss_canonicalize_name(&minor, copy, mechanism, &canonical), &minor);

    gss_release_name(&ignored, &copy);
    gss_release_name(&ignored, &canonical);
    return good;
}

static bool looks_at_credential(gss_cred_id_t credential, gss_cred_usage_t usage) {
    gss_buffer_desc octets = GSS_C_EMPTY_BUFFER;
    gss_name_t first = GSS_C_NO_NAME, second = GSS_C_NO_NAME;
    gss_OID_set mechanisms = NULL;
    gss_cred_id_t back = GSS_C_NO_CREDENTIAL;
    OM_uint32 minor, ignored;
    gss_cred_usage_t found = -1;
    bool good =
        ok("inquire_cred", gss_inquire_cred(&minor, credential, &first, NULL, &found, &mechanisms), &minor) &&
        expect("the usage is the one that was asked for", found == usage) &&
        ok("inquire_cred_by_mech",
           gss_inquire_cred_by_mech(&minor, credential, mechanism, &second, NULL, NULL, NULL), &minor) &&
        ok("export_cred", gss_export_cred(&minor, credential, &octets), &minor) &&
        ok("import_cred", gss_import_cred(&minor, &octets, &back), &minor);

    gss_release_buffer(&ignored, &octets);
    gss_release_name(&ignored, &first);
    gss_release_name(&ignored, &second);
    gss_release_oid_set(&ignored, &mechanisms);
    gss_release_cred(&ignored, &back);
    return good;
}

/* From a store, which may say where the acceptor is; and added to others. */
static bool gets_credentials(void) {
    gss_key_value_element_desc element = {"browserid_acceptor", getenv("BROWSERID_ACCEPTOR")};
    gss_key_value_set_desc store = {1, &element};
    gss_OID_set_desc wanted = {1, mechanism};
    gss_cred_id_t stored = GSS_C_NO_CREDENTIAL, added = GSS_C_NO_CREDENTIAL;
    gss_name_t name = name_of(service, GSS_C_NT_HOSTBASED_SERVICE);
    OM_uint32 minor, ignored;
    bool good = name &&
                ok("acquire_cred_from",
                   gss_acquire_cred_from(&minor, name, 0, &wanted, GSS_C_ACCEPT, &store, &stored, NULL, NULL),
                   &minor) &&
                ok("add_cred",
                   gss_add_cred(&minor, GSS_C_NO_CREDENTIAL, name, mechanism, GSS_C_ACCEPT, 0, 0, &added,
                                NULL, NULL, NULL),
                   &minor) &&
                looks_at_credential(stored, GSS_C_ACCEPT) && looks_at_credential(added, GSS_C_ACCEPT);

    gss_release_cred(&ignored, &stored);
    gss_release_cred(&ignored, &added);
    gss_release_name(&ignored, &name);
    return good;
}

static bool look_at_everything(struct pair *pair, gss_cred_id_t ours, gss_cred_id_t theirs) {
    return looks_at_contexts(pair) && looks_at_mechanism() && looks_at_names(pair->source) &&
           looks_at_credential(ours, GSS_C_INITIATE) && looks_at_credential(theirs, GSS_C_ACCEPT) &&
           gets_credentials();
}

static bool move(gss_ctx_id_t *context) {
    gss_buffer_desc token = GSS_C_EMPTY_BUFFER;
    OM_uint32 minor, ignored, major = gss_export_sec_context(&minor, context, &token);

    if (!ok("export_sec_context", major, &minor))
        return false;
    major = gss_import_sec_context(&minor, &token, context);
    gss_release_buffer(&ignored, &token);
    return ok("import_sec_context", major, &minor);
}

static bool run_one(bool shows) {
    gss_cred_id_t ours = GSS_C_NO_CREDENTIAL, theirs = GSS_C_NO_CREDENTIAL;
    struct pair pair = {0};
    OM_uint32 minor;
    bool good = no_credentials ||
                (acquire(user, GSS_C_NT_USER_NAME, GSS_C_INITIATE, &ours) &&
                 acquire(default_acceptor ? NULL : service, GSS_C_NT_HOSTBASED_SERVICE, GSS_C_ACCEPT,
                         &theirs));

    good = good && establish(&pair, ours, theirs);
    if (good && exports)
        good = move(&pair.initiator) && move(&pair.acceptor);
    if (good && protects)
        good = protect(&pair);
    if (good && everything)
        good = look_at_everything(&pair, ours, theirs);
    if (good && shows) {
        show_context("initiator", pair.initiator);
        show_context("acceptor", pair.acceptor);
        printf("flags: %#x %#x\n", pair.initiator_flags, pair.acceptor_flags);
        show_attributes(pair.source);
        show_exported(pair.source);
        show_account(pair.source);
    }
    delete_pair(&pair);
    gss_release_cred(&minor, &ours);
    gss_release_cred(&minor, &theirs);
    return good;
}

/* Resident memory, in KiB. */
static long resident(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    if (!file || fscanf(file, "%*s %ld", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static long now_ms(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct failing_malloc {
    int fail_at, asked, left;
};

extern struct failing_malloc *failing_malloc __attribute__((weak));

enum { GOOD, REFUSED, WRONG_WORDS };

/* Of some calls mechglue loses the mechanism's minor status. */
static bool was_for_memory(void) {
    return strstr(failure, "out of memory") || strcmp(failure, "Unknown error") == 0;
}

/* A context in a child: its exit status, or that it was killed. */
static int run_child(int fail_at) {
    int status;
    pid_t child;

    fflush(stdout);
    failing_malloc->fail_at = fail_at;
    failing_malloc->asked = 0;
    child = fork();
    if (child == 0) {
        bool good = run_one(true);

        exit(good ? GOOD : was_for_memory() ? REFUSED : WRONG_WORDS);
    }
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int fail_each(void) {
    int status = run_child(0), usual, bad = 0, refused = 0, number = 0;

    usual = failing_malloc->left;
    if (status != GOOD)
        return 1;
    while (number++, status = run_child(number), failing_malloc->asked >= number) {
        bool lost = failing_malloc->left > usual;

        refused += status == REFUSED;
        bad += lost || (status != GOOD && status != REFUSED);
        if (lost || (status != GOOD && status != REFUSED))
            printf("allocation %d: status %d, lost %d\n", number, status, failing_malloc->left - usual);
    }
    printf("allocations: %d, refused %d, bad %d\n", number - 1, refused, bad);
    return bad > 0;
}

static void *run_all(void *made) {
    for (int i = 0; i < count; i++)
        if (run_one(count == 1 && threads == 1))
            ++*(int *)made;
    return NULL;
}

static bool read_options(int argc, char **argv) {
    int option;

    while ((option = getopt(argc, argv, "m:n:t:f:u:b:B:l:w:c:K:sdDxkpeA")) != -1)
        switch (option) {
        case 'm': oid_text = optarg; break;
        case 'n': count = atoi(optarg); break;
        case 't': threads = atoi(optarg); break;
        case 'f': flags = (OM_uint32)strtoul(optarg, NULL, 0); break;
        case 'u': user = optarg; break;
        case 'b': bound = optarg; break;
        case 'B': bound_there = optarg; break;
        case 'l': account = optarg; break;
        case 'w': warm_up = atoi(optarg); break;
        case 'c': command = optarg; break;
        case 'K': command_at = atoi(optarg); break;
        case 'e': everything = true; break;
        case 'A': fails = true; break;
        case 's': spnego = true; break;
        case 'd': default_acceptor = true; break;
        case 'D': no_credentials = true; break;
        case 'x': exports = true; break;
        case 'k': forks = true; break;
        case 'p': protects = true; break;
        default: return false;
        }
    service = argv[optind];
    return service && threads <= 64;
}

int main(int argc, char **argv) {
    pthread_t running[64];
    int made[64] = {0}, all = 0;
    long before, began;
    gss_buffer_desc text;
    char braced[128];
    OM_uint32 minor;

    if (!read_options(argc, argv))
        return 2;
    snprintf(braced, sizeof braced, "{ %s }", oid_text);
    for (char *dot = braced; (dot = strchr(dot, '.'));)
        *dot = ' ';
    text = text_of(braced);
    if (!ok("str_to_oid", gss_str_to_oid(&minor, &text, &mechanism), &minor))
        return 2;
    if (fails)
        return fail_each();
    for (int i = 0; i < warm_up; i++)
        run_one(false);
    before = resident();
    began = now_ms();
    for (int i = 0; i < threads; i++)
        pthread_create(&running[i], NULL, run_all, &made[i]);
    for (int i = 0; i < threads; i++) {
        pthread_join(running[i], NULL);
        all += made[i];
    }
    if (warm_up)
        printf("took: %ld ms\ngrown: %ld KiB\n", now_ms() - began, resident() - before);
    printf("made: %d of %d\n", all, count * threads);
    gss_release_oid(&minor, &mechanism);
    return all == count * threads ? 0 : 1;
}
