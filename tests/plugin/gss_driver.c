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
#include <unistd.h>

static const char *oid_text = "1.3.6.1.4.1.5322.24.1.17", *user, *bound, *bound_there, *account;
static const char *service;
static int count = 1, threads = 1;
static OM_uint32 flags;
static bool spnego, default_acceptor, no_credentials, exports, forks, protects;
static gss_OID mechanism;

static gss_buffer_desc text_of(const char *text) {
    return (gss_buffer_desc){strlen(text), (void *)text};
}

static void show(const char *what, gss_buffer_t text) {
    OM_uint32 minor;

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

static bool establish(struct pair *pair, gss_cred_id_t ours, gss_cred_id_t theirs) {
    static gss_OID_desc spnego_oid = {6, "\x2b\x06\x01\x05\x05\x02"};
    struct gss_channel_bindings_struct here, there;
    gss_name_t target = name_of(service, GSS_C_NT_HOSTBASED_SERVICE);
    gss_buffer_desc to = GSS_C_EMPTY_BUFFER, from = GSS_C_EMPTY_BUFFER;
    OM_uint32 minor, ignored, initiates = GSS_S_CONTINUE_NEEDED, accepts = GSS_S_CONTINUE_NEEDED;
    bool good = true;

    while (good && (initiates == GSS_S_CONTINUE_NEEDED || accepts == GSS_S_CONTINUE_NEEDED)) {
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
            gss_buffer_desc value, shown;

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
    gss_buffer_desc octets = GSS_C_EMPTY_BUFFER, shown;
    gss_name_t back = GSS_C_NO_NAME;
    OM_uint32 minor;
    int equal = 0;

    if (!ok("export_name", gss_export_name(&minor, name, &octets), &minor) ||
        !ok("import exported", gss_import_name(&minor, &octets, GSS_C_NT_EXPORT_NAME, &back), &minor))
        return;
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
    gss_display_name(&minor, source, &first, NULL);
    gss_display_name(&minor, target, &second, NULL);
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

static bool same(const gss_buffer_desc *one, const gss_buffer_desc *other) {
    return one->length == other->length && memcmp(one->value, other->value, one->length) == 0;
}

static bool wraps(gss_ctx_id_t from, gss_ctx_id_t to, int seals) {
    gss_buffer_desc message = text_of("a message"), token = GSS_C_EMPTY_BUFFER, back;
    OM_uint32 minor, ignored, major;
    int sealed = -1;
    bool good;

    if (!ok("wrap", gss_wrap(&minor, from, seals, 0, &message, NULL, &token), &minor) ||
        !ok("unwrap", gss_unwrap(&minor, to, &token, &back, &sealed, NULL), &minor))
        return false;
    good = expect("the message is the same", same(&message, &back)) &&
           expect("it is sealed as was asked", sealed == seals);
    gss_release_buffer(&ignored, &back);
    major = gss_unwrap(&minor, to, &token, &back, NULL, NULL);
    good = expect("a token is taken once", major == GSS_S_DUPLICATE_TOKEN) && good;
    gss_release_buffer(&ignored, &back);
    ((unsigned char *)token.value)[token.length - 1] ^= 1;
    major = gss_unwrap(&minor, to, &token, &back, NULL, NULL);
    good = expect("an altered token is refused", GSS_ERROR(major) == GSS_S_BAD_SIG) && good;
    gss_release_buffer(&ignored, &token);
    return good;
}

static bool signs(gss_ctx_id_t from, gss_ctx_id_t to) {
    gss_buffer_desc message = text_of("a message"), other = text_of("another"), token;
    OM_uint32 minor, ignored;
    bool good;

    if (!ok("get_mic", gss_get_mic(&minor, from, 0, &message, &token), &minor))
        return false;
    good = expect("a MIC is of one message",
                  GSS_ERROR(gss_verify_mic(&minor, to, &other, &token, NULL)) == GSS_S_BAD_SIG) &&
           ok("verify_mic", gss_verify_mic(&minor, to, &message, &token, NULL), &minor);
    gss_release_buffer(&ignored, &token);
    return good;
}

static bool derives(struct pair *pair) {
    gss_buffer_desc input = text_of("what for"), ours, theirs;
    OM_uint32 minor, ignored;
    bool good;

    if (!ok("pseudo_random",
            gss_pseudo_random(&minor, pair->initiator, GSS_C_PRF_KEY_FULL, &input, 40, &ours),
            &minor) ||
        !ok("pseudo_random",
            gss_pseudo_random(&minor, pair->acceptor, GSS_C_PRF_KEY_FULL, &input, 40, &theirs),
            &minor))
        return false;
    good = expect("both ends derive the same", same(&ours, &theirs));
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

static void *run_all(void *made) {
    for (int i = 0; i < count; i++)
        if (run_one(count == 1 && threads == 1))
            ++*(int *)made;
    return NULL;
}

static bool read_options(int argc, char **argv) {
    int option;

    while ((option = getopt(argc, argv, "m:n:t:f:u:b:B:l:sdDxkp")) != -1)
        switch (option) {
        case 'm': oid_text = optarg; break;
        case 'n': count = atoi(optarg); break;
        case 't': threads = atoi(optarg); break;
        case 'f': flags = (OM_uint32)strtoul(optarg, NULL, 0); break;
        case 'u': user = optarg; break;
        case 'b': bound = optarg; break;
        case 'B': bound_there = optarg; break;
        case 'l': account = optarg; break;
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
    for (int i = 0; i < threads; i++)
        pthread_create(&running[i], NULL, run_all, &made[i]);
    for (int i = 0; i < threads; i++) {
        pthread_join(running[i], NULL);
        all += made[i];
    }
    printf("made: %d of %d\n", all, count * threads);
    gss_release_oid(&minor, &mechanism);
    return all == count * threads ? 0 : 1;
}
