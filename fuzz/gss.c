/*
 * What plugin/gss*.c reads of others, for the sanitizers: names, exported names, contexts and
 * credentials, first tokens, and all that the agent and the acceptor may answer. What is taken has to
 * come out as it went in, what is refused to have a sentence, and whatever comes of an input is then
 * used as programs use it.
 *
 * usage: gss INPUTS NUMBER   so many mutations of good ones, the same ones for the same number
 *        gss < FILE          one input: a letter for what reads it, then what is read
 *
 * The services are the other end of a pair of sockets. A request is answered by the input's next line,
 * in which # is the request's number. The function is the one that libFuzzer calls, too.
 */

#define _GNU_SOURCE
#include "../plugin/gss_credential.h"
#include "../plugin/gss_exchange.h"
#include "../plugin/gss_mechanism.h"
#include "../plugin/gss_name.h"
#include "../plugin/gss_status.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LONGEST_INPUT = 4096, LONGEST_PART = 40, MOST_CHANGES = 6, MOST_STEPS = 4, AES128_ROW = 1 };

/* Where both services are said to be: there it can be written, and nobody answers. */
#define NOWHERE "/dev/null"

/* What mechglue calls, and no header declares. */
OM_uint32 gssspi_import_name_by_mech(OM_uint32 *, gss_OID, gss_buffer_t, gss_OID, gss_name_t *);
OM_uint32 gssspi_import_sec_context_by_mech(OM_uint32 *, gss_OID, gss_buffer_t, gss_ctx_id_t *);
OM_uint32 gssspi_authorize_localname(OM_uint32 *, const gss_name_t, gss_const_buffer_t, gss_const_OID);

static void expect(bool holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "not so: %s\n", what);
        abort();
    }
}

/* The minor status by reference: what sets it may be an argument too. */
static bool failed(OM_uint32 major, const OM_uint32 *minor) {
    gss_buffer_desc words = GSS_C_EMPTY_BUFFER;
    OM_uint32 ignored, more;

    if (!GSS_ERROR(major))
        return false;
    expect(!GSS_ERROR(gss_display_status(&ignored, *minor, GSS_C_MECH_CODE, GSS_C_NO_OID, &more, &words)) &&
               words.length > 0,
           "a sentence for every reason");
    gss_release_buffer(&ignored, &words);
    return true;
}

static bool same(const gss_buffer_desc *one, const gss_buffer_desc *other) {
    return one->length == other->length &&
           (one->length == 0 || memcmp(one->value, other->value, one->length) == 0);
}

/* The services' end */

static int theirs = -1;
static const uint8_t *to_come; /* what is left of the input */
static size_t left;

/* Whether a line is one that the module stops waiting for. */
static bool is_answer(const uint8_t *line, size_t length, const uint8_t *mark) {
    return mark && mark > line && memchr(line, '\t', length) == mark - 1 &&
           mark + 1 < line + length && (mark[1] == '\t' || mark[1] == '\n') &&
           line[length - 1] == '\n';
}

static void answer_with(const uint8_t *line, size_t length, const char *number) {
    const uint8_t *mark = memchr(line, '#', length);
    size_t before = mark ? (size_t)(mark - line) : length;

    if (send(theirs, line, before, MSG_NOSIGNAL) < 0)
        return;
    if (mark && send(theirs, number, strlen(number), MSG_NOSIGNAL) >= 0)
        (void)!send(theirs, mark + 1, length - before - 1, MSG_NOSIGNAL);
    if (!is_answer(line, length, mark))
        shutdown(theirs, SHUT_WR);
}

ssize_t __real_send(int descriptor, const void *octets, size_t length, int flags);
ssize_t __wrap_send(int descriptor, const void *octets, size_t length, int flags);

/* A request, which is sent nowhere. */
ssize_t __wrap_send(int descriptor, const void *octets, size_t length, int flags) {
    const char *text = octets;
    const uint8_t *end = left > 0 ? memchr(to_come, '\n', left) : NULL;
    size_t size = end ? (size_t)(end - to_come) + 1 : left;
    char number[16] = "";

    if (descriptor == theirs)
        return __real_send(descriptor, octets, length, flags);
    expect(length > 0 && memchr(text, '\n', length) == text + length - 1, "a request is one line");
    snprintf(number, sizeof number, "%u", (unsigned)strtoul(strchr(text, '\t') + 1, NULL, 10));
    if (size == 0)
        shutdown(theirs, SHUT_WR);
    else
        answer_with(to_come, size, number);
    to_come += size;
    left -= size;
    return (ssize_t)length;
}

static bool is_open(void) {
    char octet;

    return theirs >= 0 && recv(theirs, &octet, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

/* A connection that lies idle, with its greeting behind it. */
static void connect_services(void) {
    struct wire *wire = calloc(1, sizeof *wire);
    struct stat self = {0};
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0 || !wire)
        abort();
    fstat(ends[0], &self);
    wire->service = &wire_acceptor;
    wire->descriptor = ends[0];
    wire->owner = getpid();
    wire->device = self.st_dev;
    wire->inode = self.st_ino;
    wire->recognised = wire->greeted = true;
    snprintf(wire->path, sizeof wire->path, "%s", NOWHERE);
    theirs = ends[1];
    wire_give_back(wire);
}

static void expect_answers(const uint8_t *octets, size_t size) {
    if (!is_open()) {
        if (theirs >= 0)
            close(theirs);
        connect_services();
    }
    to_come = octets;
    left = size;
}

/* An answer that nobody has asked for does not wait for the next input. */
static void no_more_answers(void) {
    left = 0;
    shutdown(theirs, SHUT_WR);
    if (!is_open())
        return;
    close(theirs);
    theirs = -1;
}

/* Names */

static void look_at_attributes(gss_name_t name) {
    gss_buffer_set_t names = GSS_C_NO_BUFFER_SET;
    OM_uint32 minor;

    expect(!GSS_ERROR(gss_inquire_name(&minor, name, NULL, NULL, &names)), "a list of attributes");
    for (size_t i = 0; names && i < names->count; i++)
        for (int more = -1, before = 0; more != 0; before = more) {
            gss_buffer_desc value = GSS_C_EMPTY_BUFFER, shown = GSS_C_EMPTY_BUFFER;
            OM_uint32 major = gss_get_name_attribute(&minor, name, &names->elements[i], NULL, NULL,
                                                     &value, &shown, &more);

            if (failed(major, &minor))
                break; /* one without values */
            expect(same(&value, &shown) && (more == 0 || more > before), "one value after the other");
            gss_release_buffer(&minor, &value);
            gss_release_buffer(&minor, &shown);
        }
    gss_release_buffer_set(&minor, &names);
}

static void use_account(gss_name_t name) {
    gss_buffer_desc local = GSS_C_EMPTY_BUFFER;
    OM_uint32 minor;

    if (failed(gss_localname(&minor, name, GSS_C_NO_OID, &local), &minor))
        return;
    expect(gssspi_authorize_localname(&minor, name, &local, GSS_C_NT_USER_NAME) == GSS_S_COMPLETE,
           "whose account it is may use it");
    gss_release_buffer(&minor, &local);
}

static bool are_equal(gss_name_t one, gss_name_t other) {
    OM_uint32 minor;
    int equal = 0;

    gss_compare_name(&minor, one, other, &equal);
    return equal;
}

/* A name comes back from all its forms. */
static void use_name(gss_name_t name) {
    gss_buffer_desc exported = GSS_C_EMPTY_BUFFER, again = GSS_C_EMPTY_BUFFER;
    gss_name_t copy = GSS_C_NO_NAME, back = GSS_C_NO_NAME;
    OM_uint32 minor;

    expect(!GSS_ERROR(gss_duplicate_name(&minor, name, &copy)), "a name can be copied");
    expect(!GSS_ERROR(gss_export_name(&minor, name, &exported)), "a name can be exported");
    expect(!GSS_ERROR(gssspi_import_name_by_mech(&minor, mechanism_oid(AES128_ROW), &exported,
                                                 GSS_C_NT_EXPORT_NAME, &back)),
           "what was exported can be imported");
    expect(!GSS_ERROR(gss_export_name(&minor, back, &again)) && same(&exported, &again),
           "it is the same when it is exported again");
    expect(are_equal(name, copy) && are_equal(name, back), "they are equal");
    look_at_attributes(copy);
    use_account(copy);
    gss_release_buffer(&minor, &exported);
    gss_release_buffer(&minor, &again);
    gss_release_name(&minor, &copy);
    gss_release_name(&minor, &back);
}

static void read_name(gss_OID type, const uint8_t *octets, size_t size) {
    gss_buffer_desc text = {size, (void *)octets};
    gss_name_t name;
    OM_uint32 minor, major;

    major = gssspi_import_name_by_mech(&minor, mechanism_oid(AES128_ROW), &text, type, &name);
    if (failed(major, &minor))
        return;
    use_name(name);
    gss_release_name(&minor, &name);
}

static void read_any_name(const uint8_t *octets, size_t size) {
    read_name(GSS_C_NT_HOSTBASED_SERVICE, octets, size);
    read_name(GSS_C_NT_USER_NAME, octets, size);
    read_name((gss_OID)&name_own_form, octets, size);
}

static void read_exported_name(const uint8_t *octets, size_t size) {
    read_name(GSS_C_NT_EXPORT_NAME, octets, size);
}

static gss_name_t name_of(const char *text, gss_OID type) {
    gss_buffer_desc octets = {strlen(text), (void *)text};
    gss_name_t name;
    OM_uint32 minor;

    gssspi_import_name_by_mech(&minor, mechanism_oid(AES128_ROW), &octets, type, &name);
    return name;
}

/* What a program asks of a name: an attribute, and whether an account may be used. */
static void ask_name(const uint8_t *octets, size_t size) {
    gss_name_t name = name_of("alice@example.org", GSS_C_NT_USER_NAME);
    gss_buffer_desc wanted = {size, (void *)octets}, value = GSS_C_EMPTY_BUFFER;
    OM_uint32 minor;
    int more = -1;

    name_add_attribute((struct name *)name, "claim", true);
    name_add_value((struct name *)name, "value");
    if (!failed(gss_get_name_attribute(&minor, name, &wanted, NULL, NULL, &value, NULL, &more), &minor))
        expect(size == 5 && memcmp(octets, "claim", 5) == 0, "it is the attribute that was wanted");
    gss_release_buffer(&minor, &value);
    expect(failed(gssspi_authorize_localname(&minor, name, &wanted, GSS_C_NT_USER_NAME), &minor),
           "nobody has an account unasked");
    gss_release_name(&minor, &name);
}

/* Contexts */

static void use_messages(gss_ctx_id_t context) {
    gss_buffer_desc said = {5, "hello"}, token = GSS_C_EMPTY_BUFFER, made = GSS_C_EMPTY_BUFFER;
    OM_uint32 minor, major = gss_wrap(&minor, context, 1, 0, &said, NULL, &token);

    if (failed(major, &minor))
        return;
    expect(failed(gss_unwrap(&minor, context, &token, &made, NULL, NULL), &minor),
           "no side takes what it has sent");
    major = gss_pseudo_random(&minor, context, GSS_C_PRF_KEY_FULL, &said, 20, &made);
    expect(!GSS_ERROR(major) && made.length == 20, "derived octets");
    gss_release_buffer(&minor, &token);
    gss_release_buffer(&minor, &made);
}

static void look_at_context(gss_ctx_id_t context) {
    gss_name_t source = GSS_C_NO_NAME, target = GSS_C_NO_NAME;
    OM_uint32 minor, major, lifetime;

    major = gss_inquire_context(&minor, context, &source, &target, NULL, NULL, NULL, NULL, NULL);
    expect(!GSS_ERROR(major) && source && target, "both sides have names");
    use_name(source);
    use_name(target);
    gss_release_name(&minor, &source);
    gss_release_name(&minor, &target);
    major = gss_context_time(&minor, context, &lifetime);
    expect((major == GSS_S_CONTEXT_EXPIRED) == (lifetime == 0), "time is left, or it has expired");
}

static gss_ctx_id_t imported(gss_buffer_t token) {
    gss_ctx_id_t context;
    OM_uint32 minor, major;

    major = gssspi_import_sec_context_by_mech(&minor, mechanism_oid(AES128_ROW), token, &context);
    return failed(major, &minor) ? GSS_C_NO_CONTEXT : context;
}

/* Used, exported and imported until it is the same. */
static void use_context(gss_ctx_id_t context) {
    gss_buffer_desc token = GSS_C_EMPTY_BUFFER, again = GSS_C_EMPTY_BUFFER;
    OM_uint32 minor;

    look_at_context(context);
    use_messages(context);
    expect(!GSS_ERROR(gss_export_sec_context(&minor, &context, &token)) && !context, "it is exported");
    context = imported(&token);
    expect(context != GSS_C_NO_CONTEXT, "what was exported can be imported");
    expect(!GSS_ERROR(gss_export_sec_context(&minor, &context, &again)) && same(&token, &again),
           "it is the same when it is exported again");
    gss_release_buffer(&minor, &token);
    gss_release_buffer(&minor, &again);
}

static void read_context(const uint8_t *octets, size_t size) {
    gss_buffer_desc token = {size, (void *)octets};
    gss_ctx_id_t context = imported(&token);

    if (context)
        use_context(context);
}

/* A context that was made, whatever the services have said. */
static void finish(gss_ctx_id_t context, OM_uint32 major, OM_uint32 minor) {
    OM_uint32 ignored;

    if (!failed(major, &minor) && major == GSS_S_COMPLETE)
        use_context(context);
    else
        gss_delete_sec_context(&ignored, &context, GSS_C_NO_BUFFER);
}

static void initiate(const uint8_t *octets, size_t size) {
    gss_buffer_desc answer = {5, "token"}, output;
    gss_name_t target = name_of("imap@mail.example.org", GSS_C_NT_HOSTBASED_SERVICE);
    OM_uint32 minor = 0, ignored, major = GSS_S_CONTINUE_NEEDED;
    gss_ctx_id_t context = GSS_C_NO_CONTEXT;

    expect_answers(octets, size);
    for (int i = 0; i < MOST_STEPS && major == GSS_S_CONTINUE_NEEDED; i++) {
        major = gss_init_sec_context(&minor, GSS_C_NO_CREDENTIAL, &context, target,
                                     mechanism_oid(AES128_ROW), GSS_C_MUTUAL_FLAG, 0,
                                     GSS_C_NO_CHANNEL_BINDINGS, context ? &answer : GSS_C_NO_BUFFER,
                                     NULL, &output, NULL, NULL);
        gss_release_buffer(&ignored, &output);
    }
    finish(context, major, minor);
    gss_release_name(&ignored, &target);
    no_more_answers();
}

static const unsigned char first_token[] = {
    0x60, 0x0f, 6, 10, 0x2b, 6, 1, 4, 1, 0xa9, 0x4a, 0x18, 1, 0x11, 'c', ',', '~'};

static void accept_token(gss_buffer_t token) {
    gss_name_t source = GSS_C_NO_NAME;
    OM_uint32 minor = 0, ignored, major = GSS_S_CONTINUE_NEEDED;
    gss_ctx_id_t context = GSS_C_NO_CONTEXT;
    gss_buffer_desc output;

    for (int i = 0; i < MOST_STEPS && major == GSS_S_CONTINUE_NEEDED; i++) {
        gss_release_name(&ignored, &source);
        major = gss_accept_sec_context(&minor, &context, GSS_C_NO_CREDENTIAL, token,
                                       GSS_C_NO_CHANNEL_BINDINGS, &source, NULL, &output, NULL, NULL,
                                       NULL);
        gss_release_buffer(&ignored, &output);
    }
    expect((major == GSS_S_COMPLETE) == (source != GSS_C_NO_NAME), "who it is, when it is somebody");
    gss_release_name(&ignored, &source);
    finish(context, major, minor);
}

static void accept_with_answers(const uint8_t *octets, size_t size) {
    gss_buffer_desc token = {sizeof first_token, (void *)first_token};

    expect_answers(octets, size);
    accept_token(&token);
    no_more_answers();
}

static void accept_first_token(const uint8_t *octets, size_t size) {
    static const char refusal[] = "FAIL\t#\tbid_major=589824\tbid_minor=2147483659\tbid_detail=no\n";
    gss_buffer_desc token = {size, (void *)octets};

    expect_answers((const uint8_t *)refusal, sizeof refusal - 1);
    accept_token(&token);
    no_more_answers();
}

/* Credentials */

static void use_credential(gss_cred_id_t credential) {
    gss_buffer_desc exported = GSS_C_EMPTY_BUFFER, again = GSS_C_EMPTY_BUFFER;
    gss_cred_id_t back;
    OM_uint32 minor;

    expect(!GSS_ERROR(gss_export_cred(&minor, credential, &exported)), "a credential is exported");
    expect(!GSS_ERROR(gss_import_cred(&minor, &exported, &back)), "and imported");
    expect(!GSS_ERROR(gss_export_cred(&minor, back, &again)) && same(&exported, &again),
           "it is the same when it is exported again");
    gss_release_buffer(&minor, &exported);
    gss_release_buffer(&minor, &again);
    gss_release_cred(&minor, &back);
}

static void read_credential(const uint8_t *octets, size_t size) {
    gss_buffer_desc token = {size, (void *)octets};
    gss_cred_id_t credential;
    gss_name_t name = GSS_C_NO_NAME;
    OM_uint32 minor;

    if (failed(gss_import_cred(&minor, &token, &credential), &minor))
        return;
    expect_answers(octets, 0);
    use_credential(credential);
    failed(gss_inquire_cred(&minor, credential, &name, NULL, NULL, NULL), &minor);
    gss_release_name(&minor, &name);
    gss_release_cred(&minor, &credential);
    no_more_answers();
}

static void ask_who(const uint8_t *octets, size_t size) {
    gss_OID_set_desc wanted = {1, mechanism_oid(AES128_ROW)};
    gss_name_t name = name_of("alice", GSS_C_NT_USER_NAME);
    gss_cred_id_t credential = GSS_C_NO_CREDENTIAL;
    OM_uint32 minor, ignored, major;

    expect_answers(octets, size);
    major = gss_acquire_cred(&minor, name, 0, &wanted, GSS_C_INITIATE, &credential, NULL, NULL);
    if (!failed(major, &minor))
        use_credential(credential);
    gss_release_cred(&ignored, &credential);
    gss_release_name(&ignored, &name);
    no_more_answers();
}

static void find_mechanism(const uint8_t *octets, size_t size) {
    gss_buffer_desc name = {size, (void *)octets};
    gss_OID mechanism = GSS_C_NO_OID;
    OM_uint32 minor;

    if (!failed(gss_inquire_mech_for_saslname(&minor, &name, &mechanism), &minor))
        expect(mechanism_of(mechanism) != NO_MECHANISM, "one of ours");
}

static const struct {
    char letter;
    void (*read)(const uint8_t *octets, size_t size);
} readers[] = {
    {'n', read_any_name},  {'e', read_exported_name}, {'a', ask_name},
    {'x', read_context},   {'i', initiate},           {'s', accept_with_answers},
    {'t', accept_first_token}, {'c', read_credential}, {'w', ask_who},
    {'m', find_mechanism},
};

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t size) {
    setenv("BROWSERID_AGENT", NOWHERE, 1);
    setenv("BROWSERID_ACCEPTOR", NOWHERE, 1);
    for (size_t i = 0; size > 0 && i < sizeof readers / sizeof *readers; i++)
        if (readers[i].letter == octets[0])
            readers[i].read(octets + 1, size - 1);
    return 0;
}

/* Good inputs */

enum { MOST_SEEDS = 64 };

static struct { unsigned char octets[LONGEST_INPUT]; size_t size; } seeds[MOST_SEEDS];
static size_t seed_count;

static void add_seed(char letter, const void *octets, size_t size) {
    expect(seed_count < MOST_SEEDS && size < LONGEST_INPUT, "room for a good input");
    seeds[seed_count].octets[0] = (unsigned char)letter;
    memcpy(seeds[seed_count].octets + 1, octets, size);
    seeds[seed_count++].size = size + 1;
}

#define KEY "\tkey=AAECAwQFBgcICQoLDA0ODw=="
#define TOLD "flags=306\texpires=9999999999\tinitiator=alice@example.org\ttarget=imap/mail.example.org"
#define BID_TOLD                                                                                       \
    "bid_flags=306\tbid_expires=9999999999\tbid_initiator=alice@example.org\t"                         \
    "bid_target=imap/mail.example.org"
#define ATTRIBUTES                                                                                     \
    "\tbid_local=alice\tbid_attribute=claim\tbid_value=one\tbid_value=two\tbid_unproven=saml\t"        \
    "bid_value=x"

#define TEN(text) text text text text text text text text text text

static const char *const texts[] = {
    "nimap@mail.example.org", "nimap/mail.example.org./spe\\/cific", "nalice@EXAMPLE.org", "nalice",
    "nhost", "aclaim", "aroot", "mBROWSERID-AES128", "mbrowserid",
    "cBROWSERID-AES128\n1\n/run/browserid/acceptor\nalice@example.org",
    "cBROWSERID\n2\n/run/browserid/acceptor\nimap/mail.example.org", "cBROWSERID-A256S2\n0\n/x\n",
    "wOK\t#\tidentity=alice@example.org\n", "wFAIL\t#\tmajor=458752\tminor=2147483676\tdetail=nobody\n",
    "iCONT\t#\tQUJD\nOK\t#\t=\t" TOLD KEY "\n", "iOK\t#\tQUJD\t" TOLD KEY "\textra_round_trip=1\n",
    "iCONT\t#\tQUJD\nFAIL\t#\tmajor=393216\tminor=29\tdetail=why\n", "iOK\t#\t\t" TOLD "\n",
    "sCONT\t#\tQUJD\nOK\t#\tuser=alice@example.org\t" BID_TOLD "\tbid_key=AAECAwQFBgcICQoLDA0ODw=="
    ATTRIBUTES "\tresp=QUJD\n",
    "sOK\t#\tuser=alice@example.org\t" BID_TOLD ATTRIBUTES "\tresp=QUJD\n",
    "sOK\t#\tuser\t" BID_TOLD "\tbid_key\n", /* fields without a value */
    "sOK\t#\tuser=\t" BID_TOLD "\tbid_local=\tbid_attribute=claim\tbid_value=\n",
    "sOK\t#\tuser=\t" BID_TOLD "\tbid_attribute=\tbid_value=one\n",
    "n" TEN(TEN("/////")) "/", /* shorter than its canonical text may be */
    "sFAIL\t#\treason=no\tbid_major=458752\tbid_minor=19\tbid_detail=expired\tresp=QUJD\n",
};

static const char *const pieces[] = {
    "\t",  "\n",     "\001",  "\001t", "@",   "/",          "\\",         "#",      "=",    "QUJD",
    "OK\t#\t", "CONT\t#\t", "FAIL\t#\t", "bid_", "bid_value=v", "attribute=a", "flags=4294967295",
    "expires=-1", "\377", "..", "bid_unproven=", TOLD, KEY, TEN(TEN("///")),
    TEN(TEN("ab")),
};

static void add_made_seeds(void) {
    gss_buffer_desc octets = GSS_C_EMPTY_BUFFER;
    static const char *const answers[] = {"OK\t#\t" TOLD, "OK\t#\tuser=alice\t" BID_TOLD ATTRIBUTES
                                                          "\tbid_key=AAECAwQFBgcICQoLDA0ODw==\n"};
    gss_buffer_desc token = {sizeof first_token, (void *)first_token};
    gss_name_t name = name_of("imap@mail.example.org", GSS_C_NT_HOSTBASED_SERVICE);
    gss_ctx_id_t context = GSS_C_NO_CONTEXT;
    gss_buffer_desc output;
    OM_uint32 minor;

    gss_export_name(&minor, name, &octets);
    add_seed('e', octets.value, octets.length);
    gss_release_buffer(&minor, &octets);
    gss_release_name(&minor, &name);
    add_seed('t', first_token, sizeof first_token);
    expect_answers((const uint8_t *)answers[1], strlen(answers[1]));
    gss_accept_sec_context(&minor, &context, GSS_C_NO_CREDENTIAL, &token, GSS_C_NO_CHANNEL_BINDINGS,
                           NULL, NULL, &output, NULL, NULL, NULL);
    gss_release_buffer(&minor, &output);
    expect(!GSS_ERROR(gss_export_sec_context(&minor, &context, &octets)), "a context to begin with");
    add_seed('x', octets.value, octets.length);
    gss_release_buffer(&minor, &octets);
}

static void make_seeds(void) {
    setenv("BROWSERID_ACCEPTOR", NOWHERE, 1);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        add_seed(texts[i][0], texts[i] + 1, strlen(texts[i] + 1));
    add_made_seeds();
}

/* Mutations */

static uint64_t state;

static size_t below(size_t limit) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return limit ? state % limit : 0;
}

static size_t replace(unsigned char *input, size_t length, size_t begin, size_t end, const void *by,
                      size_t size) {
    if (length - (end - begin) + size > LONGEST_INPUT)
        return length;
    memmove(input + begin + size, input + end, length - end);
    memcpy(input + begin, by, size);
    return length - (end - begin) + size;
}

/* Its letter stays, so that what mutates an input for one reader is read by that. */
static size_t change(unsigned char *input, size_t length) {
    unsigned char octet = (unsigned char)below(256), part[LONGEST_PART];
    const char *piece = pieces[below(sizeof pieces / sizeof *pieces)];
    size_t begin = 1 + below(length), most = length - begin, end;

    end = begin + below((most < sizeof part ? most : sizeof part) + 1);
    memcpy(part, input + begin, end - begin);
    switch (below(6)) {
    case 0: return replace(input, length, begin, end, "", 0);
    case 1: return replace(input, length, begin, begin, part, end - begin);
    case 2: return replace(input, length, begin, end, &octet, 1);
    case 3: return replace(input, length, begin, begin, piece, strlen(piece));
    case 4: return replace(input, length, begin, begin + (begin < length), &octet, 1);
    default: return replace(input, length, begin, end, piece, strlen(piece));
    }
}

static void mutate(long inputs) {
    make_seeds();
    for (long i = 0; i < inputs; i++) {
        unsigned char input[LONGEST_INPUT], *exact;
        size_t seed = below(seed_count), size = seeds[seed].size;

        memcpy(input, seeds[seed].octets, size);
        for (size_t changes = below(MOST_CHANGES); changes > 0; changes--)
            size = change(input, size);
        exact = malloc(size); /* to the octet, so that a look beyond is noticed */
        memcpy(exact, input, size);
        LLVMFuzzerTestOneInput(exact, size);
        free(exact);
    }
}

#ifndef LIBFUZZER
int main(int argc, char **argv) {
    uint8_t input[LONGEST_INPUT];

    if (argc != 3)
        return LLVMFuzzerTestOneInput(input, fread(input, 1, sizeof input, stdin));
    state = strtoull(argv[2], NULL, 10) + 1;
    mutate(strtol(argv[1], NULL, 10));
    return 0;
}
#endif
