/*
 * BROWSERID for Dovecot 2.3 and 2.4: mechanisms that ask the host's acceptor.
 *
 * Dovecot's auth process serves everybody in one event loop: nothing here waits. A message of the
 * client goes to the acceptor as one line, and what comes back is taken up when the loop says that it
 * is there. A client that goes away meanwhile is not noticed here: what ends a request without an
 * answer is its own time limit.
 *
 * Dovecot asks nothing else of its databases: who the acceptor says has logged in has done so. The
 * name it gives is looked up in the user database like any other.
 */

#include "lib.h"
#include "ioloop.h"

#include "auth.h"
#include "auth-request.h"
#include "auth-request-handler.h"
#include "mech.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"

#include "mechanisms.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* What 2.4 renamed, and has beyond 2.3: its protocol between auth and the login processes tells. */
#if AUTH_CLIENT_PROTOCOL_MINOR_VERSION >= 3
#define CHANNEL_BINDING true
#define SERVED_BY wire_acceptor_1_3
#define SERVICE(fields) ((fields)->protocol)
#define SECURED_BY_TLS(fields) ((fields)->conn_secured == AUTH_REQUEST_CONN_SECURED_TLS)
#else
#define CHANNEL_BINDING false
#define SERVED_BY wire_acceptor
#define SERVICE(fields) ((fields)->service)
#define SECURED_BY_TLS(fields) ((fields)->secured == AUTH_REQUEST_SECURED_TLS)
#define MECH_SEC_CHANNEL_BINDING 0
#define auth_default_protocol auth_default_service
#define auth_request_start_channel_binding(request, type) ((void)(type))
#define auth_request_accept_channel_binding(request, data) (-1)
#endif

enum { TRY_AGAIN_MS = 50, MOST_TRIES = 20 };

/* One login. */
struct browserid_request {
    struct auth_request auth_request; /* first: Dovecot knows the whole by this part */
    struct wire *wire;                /* while an answer is due, or another message */
    struct io *io;                    /* waits for the answer */
    struct timeout *timeout;          /* and how long, or until connecting is tried again */
    unsigned id;                      /* of the request on the wire */
    unsigned tries;                   /* to ask */
    bool begun;                       /* the acceptor has been asked */
    bool answered;                    /* and has answered: it knows this login */
    bool told;                        /* the client has been told why, and is refused next */
    bool binding;                     /* a login process has been asked what the channel is bound by */
    const unsigned char *initial;     /* what the client began with, until it is sent */
    size_t initial_size;
};

const char *browserid_version = DOVECOT_ABI_VERSION;

void browserid_init(void);
void browserid_deinit(void);

/* Dovecot gives its processes the variables that import_environment lists. */
static const char *acceptor_path(void) {
    const char *path = getenv("BROWSERID_SOCKET");

    return path && *path ? path : ACCEPTOR;
}

static void stop_waiting(struct browserid_request *request) {
    io_remove(&request->io);
    timeout_remove(&request->timeout);
}

/* The acceptor did not answer as it should: it is no refusal, and nobody's password was wrong. */
static void lose(struct browserid_request *request, enum wire_status status) {
    e_error(request->auth_request.mech_event, "browserid: the acceptor at %s: %s", acceptor_path(),
            wire_words(status));
    stop_waiting(request);
    wire_close(request->wire);
    request->wire = NULL;
    auth_request_internal_failure(&request->auth_request);
}

static void give_back(struct browserid_request *request) {
    stop_waiting(request);
    wire_give_back(request->wire);
    request->wire = NULL;
}

static void begin(struct browserid_request *request);
static void send_begin(struct browserid_request *request);
static void send_line(struct browserid_request *request);

/* The one that was asked has gone away, or not come yet: with an upgrade another follows at once. */
static bool can_ask_another(const struct browserid_request *request, enum wire_status status) {
    bool unread = status == WIRE_UNREAD || (status == WIRE_CLOSED && !request->begun);

    return unread && !request->answered && request->tries < MOST_TRIES;
}

static void lose_or_ask_another(struct browserid_request *request, enum wire_status status) {
    if (!can_ask_another(request, status)) {
        lose(request, status);
        return;
    }
    stop_waiting(request);
    wire_close(request->wire);
    request->wire = NULL;
    request->begun = false;
    request->tries++;
    begin(request);
}

/* The channel */

static void send_binding(struct browserid_request *request, const void *octets, size_t size) {
    wire_begin(request->wire, "CONT", request->id);
    wire_word(request->wire, "#");
    wire_octets(request->wire, "", "channel_binding", octets, size);
    send_line(request);
}

/* Whether clients are told the mechanism's name with -PLUS too: auth_mechanisms says so. */
static bool lists_plus(const struct auth_request *auth_request) {
    const struct mech_module *mech = auth_request->mech;
    const char *name = t_strconcat(mech->mech_name, "-PLUS", NULL);

    return (mech->flags & MECH_SEC_CHANNEL_BINDING) != 0 ||
           mech_register_find(auth_default_protocol()->reg, name) != NULL;
}

/*
 * Whether the login process, which has the channel, can be asked. One of 2.4.1 panics, and all of its
 * connections end, where it does not have what it is asked for. So nobody can bring that about where no
 * name with -PLUS is listed.
 */
static bool can_bind(const struct auth_request *auth_request, const char *type) {
    return SECURED_BY_TLS(&auth_request->fields) && lists_plus(auth_request) &&
           (strcmp(type, "tls-exporter") == 0 || strcmp(type, "tls-unique") == 0);
}

static void ask_for_binding(struct browserid_request *request, const char *type) {
    struct auth_request *auth_request = &request->auth_request;

    if (!can_bind(auth_request, type)) {
        send_binding(request, "", 0); /* the acceptor tells the client */
        return;
    }
    stop_waiting(request);
    request->binding = true;
    auth_request_start_channel_binding(auth_request, type);
    auth_request_handler_reply_continue(auth_request, NULL, 0);
}

static void take_binding(struct browserid_request *request) {
    buffer_t *data = NULL;

    request->binding = false;
    if (auth_request_accept_channel_binding(&request->auth_request, &data) == 0)
        send_binding(request, data->data, data->used);
    else
        send_binding(request, "", 0);
}

/* Answers */

static void succeed(struct browserid_request *request, const struct wire_line *line) {
    struct auth_request *auth_request = &request->auth_request;
    const char *user = wire_value(line, "user"), *response = wire_value(line, "resp");
    char *data = p_strdup(auth_request->pool, response ? response : "");
    const char *name = p_strdup(auth_request->pool, user), *error;
    size_t size;

    if (!user || !wire_decode(data, &size)) {
        lose(request, WIRE_STRANGE);
        return;
    }
    give_back(request);
    if (!auth_request_set_username(auth_request, name, &error)) {
        e_info(auth_request->mech_event, "browserid: %s", error);
        auth_request_fail(auth_request);
        return;
    }
    /* No database is asked for a password: without this Dovecot takes that for a failure. */
    auth_request->passdb_success = TRUE;
    auth_request_success(auth_request, data, size);
}

static void challenge(struct browserid_request *request, const char *base64) {
    char *data = p_strdup(request->auth_request.pool, base64);
    size_t size;

    if (!wire_decode(data, &size)) {
        lose(request, WIRE_STRANGE);
        return;
    }
    if (request->told)
        give_back(request);
    else
        stop_waiting(request);
    auth_request_handler_reply_continue(&request->auth_request, data, size);
}

static void refuse(struct browserid_request *request, const struct wire_line *line) {
    const char *detail = wire_value(line, "bid_detail"), *token = wire_value(line, "resp");

    e_info(request->auth_request.mech_event, "browserid: %s", detail ? detail : "refused");
    if (wire_value(line, "temp")) {
        give_back(request);
        auth_request_internal_failure(&request->auth_request);
    } else if (token) {
        request->told = true;
        challenge(request, token);
    } else {
        give_back(request);
        auth_request_fail(&request->auth_request);
    }
}

static void take_answer(struct browserid_request *request, const struct wire_line *line) {
    const char *verb = line->fields[0];
    const char *binding = wire_value(line, "channel_binding");

    request->answered = true;
    if (strcmp(verb, "OK") == 0)
        succeed(request, line);
    else if (strcmp(verb, "FAIL") == 0)
        refuse(request, line);
    else if (CHANNEL_BINDING && strcmp(verb, "CONT") == 0 && binding)
        ask_for_binding(request, binding);
    else if (strcmp(verb, "CONT") == 0 && line->count > 2)
        challenge(request, line->fields[2]);
    else
        lose(request, WIRE_STRANGE);
}

/* Waiting */

static void on_late(struct browserid_request *request) { lose(request, WIRE_LATE); }

static void on_readable(struct browserid_request *request) {
    struct wire_line answer;
    enum wire_status status;

    status = wire_look(request->wire, request->id, request->begun ? &answer : NULL);
    if (status == WIRE_WAIT)
        return;
    if (status != WIRE_OK)
        lose_or_ask_another(request, status);
    else if (request->begun)
        take_answer(request, &answer);
    else
        send_begin(request);
}

static void wait_for_answer(struct browserid_request *request, unsigned limit) {
    if (!request->io)
        request->io = io_add(request->wire->descriptor, IO_READ, on_readable, request);
    timeout_remove(&request->timeout);
    request->timeout = timeout_add(limit, on_late, request);
}

static void send_line(struct browserid_request *request) {
    enum wire_status status = wire_send(request->wire, 0);

    if (status == WIRE_OK)
        wait_for_answer(request, WIRE_ANSWER_MS);
    else
        lose_or_ask_another(request, status);
}

/* Asking */

static void tell_address(struct wire *wire, const char *ip, const char *port,
                         const struct ip_addr *address, in_port_t number) {
    char text[16];

    if (address->family == 0)
        return;
    wire_text(wire, "", ip, net_ip2addr(address));
    snprintf(text, sizeof text, "%u", (unsigned)number);
    wire_text(wire, "", port, text);
}

static void send_begin(struct browserid_request *request) {
    const struct auth_request_fields *fields = &request->auth_request.fields;
    struct wire *wire = request->wire;

    request->begun = true;
    request->id = ++wire->last_id;
    wire_begin(wire, "AUTH", request->id);
    wire_word(wire, request->auth_request.mech->mech_name);
    wire_text(wire, "", "service", SERVICE(fields));
    tell_address(wire, "lip", "lport", &fields->local_ip, fields->local_port);
    tell_address(wire, "rip", "rport", &fields->remote_ip, fields->remote_port);
    if (SECURED_BY_TLS(fields))
        wire_text(wire, "", "secured", "tls");
    /* Not local_name: it is the client's to choose, and the host's name is what its login is for. */
    wire_text(wire, "", "bid", "1");
    if (!lists_plus(&request->auth_request))
        wire_text(wire, "", "bid_plus_unlisted", "1");
    wire_octets(wire, "", "resp", request->initial, request->initial_size);
    send_line(request);
}

static void begin(struct browserid_request *request) {
    enum wire_status status;

    timeout_remove(&request->timeout);
    request->wire = wire_begin_taking(acceptor_path(), &SERVED_BY, &status);
    if (!request->wire) {
        if ((status != WIRE_LATE && status != WIRE_UNREAD) || ++request->tries > MOST_TRIES)
            lose(request, status);
        else /* its queue is full, or it ends just now: a moment later it may not be so */
            request->timeout = timeout_add_short(TRY_AGAIN_MS, begin, request);
        return;
    }
    wait_for_answer(request, WIRE_HANDSHAKE_MS);
    on_readable(request); /* an idle connection has been greeted long ago */
}

/* What Dovecot calls */

static struct auth_request *browserid_auth_new(void) {
    pool_t pool = pool_alloconly_create("browserid_auth_request", 2048);
    struct browserid_request *request = p_new(pool, struct browserid_request, 1);

    request->auth_request.pool = pool;
    return &request->auth_request;
}

/* The first message too: for a client that sends none at once, Dovecot asks for it. */
static void browserid_auth_continue(struct auth_request *auth_request, const unsigned char *data,
                                    size_t size) {
    struct browserid_request *request = (struct browserid_request *)auth_request;

    if (size == 0 && !request->begun) {
        e_info(auth_request->mech_event, "browserid: the client sent nothing");
        auth_request_fail(auth_request);
    } else if (!request->begun) {
        request->initial = p_memdup(auth_request->pool, data, size);
        request->initial_size = size;
        begin(request);
    } else if (request->told || !request->wire) {
        auth_request_fail(auth_request);
    } else if (request->binding) {
        take_binding(request);
    } else {
        wire_begin(request->wire, "CONT", request->id);
        wire_octets(request->wire, "", "", data, size);
        send_line(request);
    }
}

static void browserid_auth_free(struct auth_request *auth_request) {
    struct browserid_request *request = (struct browserid_request *)auth_request;

    stop_waiting(request);
    wire_close(request->wire);
    pool_unref(&auth_request->pool);
}

static struct mech_module modules[COUNT(mechanisms)], plus_modules[COUNT(mechanisms)];

static void register_as(const char *name, struct mech_module *module, enum mech_security_flags flags) {
    *module = (struct mech_module){
        .mech_name = name,
        /* Else Dovecot refuses a message with a zero octet itself, and its log does not say why. */
        .flags = flags | MECH_SEC_ALLOW_NULS,
        .passdb_need = MECH_PASSDB_NEED_NOTHING,
        .auth_new = browserid_auth_new,
        .auth_initial = mech_generic_auth_initial,
        .auth_continue = browserid_auth_continue,
        .auth_free = browserid_auth_free,
    };
    mech_register_module(module);
}

void browserid_init(void) {
    for (size_t i = 0; i < COUNT(mechanisms); i++) {
        enum mech_security_flags flags =
            mechanisms[i].key_exchange ? MECH_SEC_FORWARD_SECRECY : MECH_SEC_ACTIVE;

        register_as(mechanisms[i].name, &modules[i], flags);
        if (CHANNEL_BINDING)
            register_as(mechanisms[i].plus_name, &plus_modules[i], flags | MECH_SEC_CHANNEL_BINDING);
    }
}

void browserid_deinit(void) {
    for (size_t i = 0; i < COUNT(mechanisms); i++) {
        mech_unregister_module(&modules[i]);
        if (CHANNEL_BINDING)
            mech_unregister_module(&plus_modules[i]);
    }
}
