/*
 * BROWSERID for MIT Kerberos's mechanism glue: contexts, and what a mechanism says of itself.
 *
 * No protocol is spoken here. An initiator's half asks the person's agent, an acceptor's half the
 * host's acceptor, by one line for each token (docs/wire.md). An established context's key comes
 * with the last answer; what is protected by it is protected here (message.c).
 *
 * An exported function is never called from here: in a process where libgssapi_krb5 comes first,
 * its name is mechglue's own function.
 */

#define _GNU_SOURCE
#include <gssapi/gssapi_ext.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"
#include "gss_credential.h"
#include "gss_exchange.h"
#include "gss_mechanism.h"
#include "gss_name.h"
#include "gss_status.h"
#include "mechanisms.h"
#include "message.h"

#define EXPORT __attribute__((visibility("default")))
#define COUNT(array) (sizeof(array) / sizeof *(array))

struct context {
    int mechanism;
    bool is_initiator, established;
    OM_uint32 flags;
    time_t expires;
    struct name *source, *target;
    struct exchange exchange; /* until it is established */
    struct message *message;  /* NULL: the context protects nothing */
};

/* Which release this is, for `browserid doctor` to find in the file. */
EXPORT extern const char gss_browserid_release[];
const char gss_browserid_release[] = "browserid-sasl-release " RELEASE;

static struct context *context_of(gss_ctx_id_t handle) { return (struct context *)handle; }

static void release(struct context *context) {
    if (!context)
        return;
    exchange_end(&context->exchange, false);
    name_release(context->source);
    name_release(context->target);
    message_free(context->message);
    free(context);
}

/* What protection has come to, with its sentence at hand for gss_display_status. */
static OM_uint32 with_words(OM_uint32 *minor, OM_uint32 major) {
    const char *words = *minor != 0 ? message_words(*minor) : NULL;

    return words ? gss_status_fail(minor, major, *minor, "%s", words) : major;
}

/* What an established context is */

static OM_uint32 damaged(OM_uint32 *minor) {
    return gss_status_fail(minor, GSS_S_FAILURE, REASON_UNAVAILABLE,
                           "the service's answer does not tell all of the context");
}

static OM_uint32 take_name(OM_uint32 *minor, const struct context *context,
                           const struct wire_line *answer, const char *field, struct name **name) {
    const char *text = exchange_value(&context->exchange, answer, field);

    return text ? name_from_text(minor, context->mechanism, text, name) : damaged(minor);
}

/* Attributes stand in the line in their order, each before its values. */
static bool take_attributes(struct name *name, const struct wire_line *answer) {
    static const char proven[] = "bid_attribute=", unproven[] = "bid_unproven=";
    static const char value[] = "bid_value=";
    bool taken = true;

    for (int i = 2; taken && i < answer->count; i++) {
        const char *field = answer->fields[i];

        if (strncmp(field, proven, strlen(proven)) == 0)
            taken = name_add_attribute(name, field + strlen(proven), true);
        else if (strncmp(field, unproven, strlen(unproven)) == 0)
            taken = name_add_attribute(name, field + strlen(unproven), false);
        else if (strncmp(field, value, strlen(value)) == 0)
            taken = name_add_value(name, field + strlen(value));
    }
    return taken;
}

/* Messages' numbers begin at 0 in each direction. */
static OM_uint32 take_key(OM_uint32 *minor, struct context *context,
                          const struct wire_line *answer) {
    const struct message_start start = {
        .enctype = mechanism_enctype(context->mechanism),
        .initiator = context->is_initiator,
        .acceptor_subkey = exchange_value(&context->exchange, answer, "extra_round_trip"),
        .dce = context->flags & GSS_C_DCE_STYLE,
    };
    /* The line is ours to write over. */
    char *base64 = (char *)exchange_value(&context->exchange, answer, "key");
    OM_uint32 major;
    size_t length;

    if (!base64)
        return GSS_S_COMPLETE;
    if (!wire_decode(base64, &length))
        return damaged(minor);
    major = with_words(minor, message_create(minor, &start, base64, length, &context->message));
    explicit_bzero(base64, length);
    return major;
}

static OM_uint32 take_texts(OM_uint32 *minor, struct context *context,
                            const struct wire_line *answer) {
    const char *local = exchange_value(&context->exchange, answer, "local");

    if (context->is_initiator)
        return GSS_S_COMPLETE;
    if (local && *local && !(context->source->local = strdup(local)))
        return gss_status_no_memory(minor);
    return take_attributes(context->source, answer) ? GSS_S_COMPLETE
                                                    : gss_status_no_memory(minor);
}

static OM_uint32 establish(OM_uint32 *minor, struct context *context,
                           const struct wire_line *answer) {
    const char *flags = exchange_value(&context->exchange, answer, "flags");
    const char *expires = exchange_value(&context->exchange, answer, "expires");
    OM_uint32 major;

    name_release(context->target); /* which the service spells as it is */
    context->target = NULL;
    if (!flags || !expires)
        return damaged(minor);
    context->flags |= (OM_uint32)strtoul(flags, NULL, 10);
    context->expires = (time_t)strtoll(expires, NULL, 10);
    major = take_key(minor, context, answer);
    if (major == GSS_S_COMPLETE)
        major = take_name(minor, context, answer, "initiator", &context->source);
    if (major == GSS_S_COMPLETE)
        major = take_name(minor, context, answer, "target", &context->target);
    if (major == GSS_S_COMPLETE)
        major = take_texts(minor, context, answer);
    context->established = major == GSS_S_COMPLETE;
    return major;
}

/* Seconds that are left; 0 when it has expired. */
static OM_uint32 lifetime_of(const struct context *context) {
    time_t left = context->expires - time(NULL);

    return left <= 0 ? 0 : left > UINT32_MAX - 1 ? UINT32_MAX - 1 : (OM_uint32)left;
}

/* Initiating and accepting */

static OM_uint32 step(OM_uint32 *minor, struct context *context, gss_buffer_t output) {
    struct wire_line answer;
    OM_uint32 major = exchange_ask(minor, &context->exchange, &answer, output);
    OM_uint32 ignored;

    if (major == GSS_S_COMPLETE) {
        major = establish(minor, context, &answer);
        if (GSS_ERROR(major))
            gss_release_buffer(&ignored, output);
    }
    if (major != GSS_S_CONTINUE_NEEDED)
        exchange_end(&context->exchange, true);
    return major;
}

static void tell_bindings(struct context *context, gss_channel_bindings_t bindings) {
    const char *prefix = context->is_initiator ? "" : "bid_";

    if (bindings == GSS_C_NO_CHANNEL_BINDINGS)
        return;
    wire_octets(context->exchange.wire, prefix, "bound", bindings->application_data.value,
                bindings->application_data.length);
    /* An acceptor that has binding data takes no initiator without, nor with other. */
    if (!context->is_initiator)
        context->flags |= GSS_C_CHANNEL_BOUND_FLAG;
}

static OM_uint32 begin_initiator(OM_uint32 *minor, struct context *context,
                                 const struct credential *credential, OM_uint32 flags,
                                 gss_channel_bindings_t bindings) {
    OM_uint32 major =
        exchange_begin_agent(minor, &context->exchange, "INIT", mechanism_name(context->mechanism));
    struct wire *wire = context->exchange.wire;
    char number[16], host[256] = "";

    if (major != GSS_S_COMPLETE)
        return major;
    if (!*context->target->host)
        (void)gethostname(host, sizeof host - 1);
    snprintf(number, sizeof number, "%u", flags);
    wire_text(wire, "", "context", "1");
    wire_text(wire, "", "service", context->target->service);
    wire_text(wire, "", "host", *host ? host : context->target->host);
    if (credential && credential->name)
        wire_text(wire, "", "authname", credential->name->text);
    wire_text(wire, "", "flags", number);
    tell_bindings(context, bindings);
    agent_tell_displays(wire);
    return GSS_S_COMPLETE;
}

static OM_uint32 begin_acceptor(OM_uint32 *minor, struct context *context,
                                const struct credential *credential,
                                const gss_buffer_desc *token, gss_channel_bindings_t bindings) {
    const struct name *name = credential ? credential->name : NULL;
    OM_uint32 major = exchange_begin_acceptor(
        minor, &context->exchange,
        credential ? credential->acceptor : credential_default_acceptor(),
        mechanism_name(context->mechanism));

    if (major != GSS_S_COMPLETE)
        return major;
    /* Without a service it is the one that the token is for, if this program may accept for that. */
    wire_text(context->exchange.wire, "", "service", name ? name->service : "");
    if (name && *name->host)
        wire_text(context->exchange.wire, "bid_", "host", name->host);
    tell_bindings(context, bindings);
    wire_octets(context->exchange.wire, "", "resp", token->value, token->length);
    return GSS_S_COMPLETE;
}

static OM_uint32 new_context(OM_uint32 *minor, int mechanism, bool is_initiator,
                             struct context **context) {
    *context = calloc(1, sizeof **context);
    if (!*context)
        return gss_status_no_memory(minor);
    (*context)->mechanism = mechanism;
    (*context)->is_initiator = is_initiator;
    return GSS_S_COMPLETE;
}

/* A context that has failed at its first step does not come into being (RFC 2744 section 5.19). */
static OM_uint32 hand_context(OM_uint32 major, struct context *context, bool is_first,
                              gss_ctx_id_t *handle) {
    if (is_first && GSS_ERROR(major))
        release(context);
    else
        *handle = (gss_ctx_id_t)context;
    return major;
}

static OM_uint32 check_usage(OM_uint32 *minor, const struct credential *credential,
                             gss_cred_usage_t usage) {
    if (!credential || credential->usage == GSS_C_BOTH || credential->usage == usage)
        return GSS_S_COMPLETE;
    return gss_status_fail(minor, GSS_S_NO_CRED, REASON_CRED_USAGE,
                           "the credential is for the other side of a context");
}

static OM_uint32 start_initiator(OM_uint32 *minor, struct context *context,
                                 const struct credential *credential, const struct name *target,
                                 OM_uint32 flags, gss_channel_bindings_t bindings) {
    OM_uint32 major = check_usage(minor, credential, GSS_C_INITIATE);

    if (major == GSS_S_COMPLETE && (!target || !target->is_service))
        major = gss_status_fail(minor, GSS_S_BAD_NAME, REASON_BAD_SERVICE_NAME,
                                "the name of the other side is not that of a service@host");
    if (major == GSS_S_COMPLETE)
        major = name_duplicate(minor, target, &context->target);
    if (major == GSS_S_COMPLETE)
        major = begin_initiator(minor, context, credential, flags, bindings);
    return major;
}

static bool is_over(const struct context *context) {
    return context->established || !context->exchange.wire;
}

static OM_uint32 continue_with(OM_uint32 *minor, struct context *context, bool is_initiator,
                               const gss_buffer_desc *token) {
    if (context->is_initiator != is_initiator || is_over(context))
        return gss_status_fail(minor, GSS_S_FAILURE, REASON_CONTEXT_ESTABLISHED,
                               "the exchange is over: no token is due");
    return exchange_go_on(minor, &context->exchange, token);
}

EXPORT OM_uint32 gss_init_sec_context(OM_uint32 *minor, gss_cred_id_t credential,
                                      gss_ctx_id_t *handle, gss_name_t target, gss_OID mechanism,
                                      OM_uint32 flags, OM_uint32 lifetime,
                                      gss_channel_bindings_t bindings, gss_buffer_t input,
                                      gss_OID *actual_mechanism, gss_buffer_t output,
                                      OM_uint32 *flags_given, OM_uint32 *lifetime_given) {
    static const gss_buffer_desc nothing = GSS_C_EMPTY_BUFFER;
    struct context *context = context_of(*handle);
    bool is_first = !context;
    int row = mechanism_of(mechanism);
    OM_uint32 major = GSS_S_COMPLETE;

    (void)lifetime;
    *minor = 0;
    *output = nothing;
    if (row == NO_MECHANISM)
        return gss_status_fail(minor, GSS_S_BAD_MECH, REASON_WRONG_MECH, "there is no such mechanism");
    if (is_first)
        major = new_context(minor, row, true, &context);
    if (major != GSS_S_COMPLETE)
        return major;
    major = is_first ? start_initiator(minor, context, credential_of(credential),
                                       (const struct name *)target, flags, bindings)
                     : continue_with(minor, context, true, input ? input : &nothing);
    if (major == GSS_S_COMPLETE)
        major = step(minor, context, output);
    if (actual_mechanism)
        *actual_mechanism = mechanism_oid(row);
    if (flags_given)
        *flags_given = context->flags;
    if (lifetime_given)
        *lifetime_given = context->established ? lifetime_of(context) : 0;
    return hand_context(major, context, is_first, handle);
}

static OM_uint32 start_acceptor(OM_uint32 *minor, struct context *context,
                                const struct credential *credential, const gss_buffer_desc *input,
                                gss_channel_bindings_t bindings) {
    OM_uint32 major = check_usage(minor, credential, GSS_C_ACCEPT);

    return major == GSS_S_COMPLETE ? begin_acceptor(minor, context, credential, input, bindings)
                                   : major;
}

static OM_uint32 tell_source(OM_uint32 *minor, const struct context *context, gss_name_t *source) {
    struct name *copy = NULL;
    OM_uint32 major = GSS_S_COMPLETE;

    if (source && context->established)
        major = name_duplicate(minor, context->source, &copy);
    if (source)
        *source = (gss_name_t)copy;
    return major;
}

EXPORT OM_uint32 gss_accept_sec_context(OM_uint32 *minor, gss_ctx_id_t *handle,
                                        gss_cred_id_t credential, gss_buffer_t input,
                                        gss_channel_bindings_t bindings, gss_name_t *source,
                                        gss_OID *mechanism, gss_buffer_t output,
                                        OM_uint32 *flags_given, OM_uint32 *lifetime_given,
                                        gss_cred_id_t *delegated) {
    struct context *context = context_of(*handle);
    bool is_first = !context;
    int row = is_first ? mechanism_of_token(input) : context->mechanism;
    OM_uint32 major = GSS_S_COMPLETE, named;

    *minor = 0;
    *output = (gss_buffer_desc)GSS_C_EMPTY_BUFFER;
    if (delegated)
        *delegated = GSS_C_NO_CREDENTIAL;
    if (row == NO_MECHANISM)
        return gss_status_fail(minor, GSS_S_DEFECTIVE_TOKEN, REASON_BAD_TOKEN_HEADER,
                               "the token names no mechanism that is known here");
    if (is_first)
        major = new_context(minor, row, false, &context);
    if (major != GSS_S_COMPLETE)
        return major;
    major = is_first
                ? start_acceptor(minor, context, credential_of(credential), input, bindings)
                : continue_with(minor, context, false, input);
    if (major == GSS_S_COMPLETE)
        major = step(minor, context, output);
    if (!GSS_ERROR(major) && (named = tell_source(minor, context, source)) != GSS_S_COMPLETE)
        major = named;
    if (mechanism)
        *mechanism = mechanism_oid(row);
    if (flags_given)
        *flags_given = context->established ? context->flags : 0;
    if (lifetime_given)
        *lifetime_given = context->established ? lifetime_of(context) : 0;
    return hand_context(major, context, is_first, handle);
}

EXPORT OM_uint32 gss_delete_sec_context(OM_uint32 *minor, gss_ctx_id_t *handle,
                                        gss_buffer_t output) {
    *minor = 0;
    if (output) /* the other side is not told (RFC 2743 section 2.2.3) */
        *output = (gss_buffer_desc)GSS_C_EMPTY_BUFFER;
    release(context_of(*handle));
    *handle = GSS_C_NO_CONTEXT;
    return GSS_S_COMPLETE;
}

/* Looking at a context */

static OM_uint32 check_established(OM_uint32 *minor, const struct context *context) {
    *minor = 0;
    if (context && context->established)
        return GSS_S_COMPLETE;
    return gss_status_fail(minor, GSS_S_NO_CONTEXT, REASON_CONTEXT_INCOMPLETE,
                           "the context is not established");
}

EXPORT OM_uint32 gss_context_time(OM_uint32 *minor, gss_ctx_id_t handle, OM_uint32 *lifetime) {
    OM_uint32 major = check_established(minor, context_of(handle));

    *lifetime = major == GSS_S_COMPLETE ? lifetime_of(context_of(handle)) : 0;
    return major == GSS_S_COMPLETE && *lifetime == 0 ? GSS_S_CONTEXT_EXPIRED : major;
}

static OM_uint32 copy_name(OM_uint32 *minor, const struct name *name, gss_name_t *copy) {
    struct name *made = NULL;
    OM_uint32 major = GSS_S_COMPLETE;

    if (!copy)
        return GSS_S_COMPLETE;
    if (name)
        major = name_duplicate(minor, name, &made);
    *copy = (gss_name_t)made;
    return major;
}

EXPORT OM_uint32 gss_inquire_context(OM_uint32 *minor, gss_ctx_id_t handle, gss_name_t *source,
                                     gss_name_t *target, OM_uint32 *lifetime, gss_OID *mechanism,
                                     OM_uint32 *flags, int *is_initiator, int *is_open) {
    const struct context *context = context_of(handle);
    OM_uint32 major;

    *minor = 0;
    if (lifetime)
        *lifetime = context->established ? lifetime_of(context) : 0;
    if (mechanism)
        *mechanism = mechanism_oid(context->mechanism);
    if (flags)
        *flags = context->flags;
    if (is_initiator)
        *is_initiator = context->is_initiator;
    if (is_open)
        *is_open = context->established;
    major = copy_name(minor, context->source, source);
    if (major != GSS_S_COMPLETE)
        return major;
    major = copy_name(minor, context->target, target);
    if (major != GSS_S_COMPLETE && source) {
        name_release((struct name *)*source);
        *source = GSS_C_NO_NAME;
    }
    return major;
}

/* On its way to another process */

enum { EXPORT_VERSION = 1, NUMBER_SIZE = 8 };

/* Octets that grow, or `failed` once memory has run out. */
struct writer {
    unsigned char *octets;
    size_t length, room;
    bool failed;
};

static void write_octets(struct writer *writer, const void *octets, size_t length) {
    if (writer->room - writer->length < length) {
        size_t room = 2 * writer->room + length + 256;
        unsigned char *grown = writer->failed ? NULL : malloc(room);

        if (!grown) {
            writer->failed = true;
            return;
        }
        if (writer->length > 0) {
            memcpy(grown, writer->octets, writer->length);
            explicit_bzero(writer->octets, writer->length); /* there is a key in it */
        }
        free(writer->octets);
        writer->octets = grown;
        writer->room = room;
    }
    if (length > 0)
        memcpy(writer->octets + writer->length, octets, length);
    writer->length += length;
}

static void write_number(struct writer *writer, uint64_t number) {
    unsigned char octets[NUMBER_SIZE];

    for (int i = NUMBER_SIZE; i-- > 0; number >>= 8)
        octets[i] = (unsigned char)number;
    write_octets(writer, octets, sizeof octets);
}

static void write_field(struct writer *writer, const void *octets, size_t length) {
    write_number(writer, length);
    write_octets(writer, octets, length);
}

static void write_text(struct writer *writer, const char *text) {
    write_field(writer, text ? text : "", text ? strlen(text) : 0);
}

static void write_name(struct writer *writer, const struct name *name) {
    write_text(writer, name->text);
    write_text(writer, name->local);
    write_number(writer, name->count);
    for (size_t i = 0; i < name->count; i++) {
        const struct name_attribute *attribute = &name->attributes[i];

        write_number(writer, attribute->authenticated);
        write_number(writer, attribute->count);
        for (size_t j = 0; j < attribute->count; j++)
            write_text(writer, attribute->texts[j]);
    }
}

/* What is left to read. It has `failed` on what cannot be read, or for lack of memory. */
struct reader {
    const unsigned char *octets;
    size_t length;
    bool failed, without_memory;
};

static const unsigned char *read_octets(struct reader *reader, size_t length) {
    const unsigned char *octets = reader->octets;

    if (reader->failed || reader->length < length) {
        reader->failed = true;
        return NULL;
    }
    reader->octets += length;
    reader->length -= length;
    return octets;
}

static uint64_t read_number(struct reader *reader) {
    const unsigned char *octets = read_octets(reader, NUMBER_SIZE);
    uint64_t number = 0;

    for (int i = 0; octets && i < NUMBER_SIZE; i++)
        number = number << 8 | octets[i];
    return number;
}

/* A text, for its reader to free; NULL if there is none, or what is there is none. */
static char *read_text(struct reader *reader) {
    size_t length = read_number(reader);
    const unsigned char *octets = read_octets(reader, length);
    char *text;

    if (!octets || memchr(octets, 0, length)) {
        reader->failed = true;
        return NULL;
    }
    text = strndup((const char *)octets, length);
    reader->failed = reader->without_memory = !text;
    return text;
}

static void read_attribute(struct reader *reader, struct name *name) {
    bool authenticated = read_number(reader) != 0;
    uint64_t count = read_number(reader);

    for (uint64_t i = 0; !reader->failed && i < count; i++) {
        char *text = read_text(reader);
        bool added = text && (i == 0 ? name_add_attribute(name, text, authenticated)
                                     : name_add_value(name, text));

        reader->failed = !added;
        reader->without_memory = reader->without_memory || (text && !added);
        free(text);
    }
    if (count == 0)
        reader->failed = true;
}

static struct name *read_name(struct reader *reader, int mechanism) {
    char *text = read_text(reader), *local = read_text(reader);
    uint64_t count = read_number(reader);
    struct name *name = NULL;
    OM_uint32 minor = 0;

    if (reader->failed || name_from_text(&minor, mechanism, text, &name) != GSS_S_COMPLETE) {
        reader->without_memory = reader->without_memory || minor == REASON_NO_MEMORY;
        reader->failed = true;
        free(local);
        free(text);
        return NULL;
    }
    free(text);
    name->local = *local ? local : NULL;
    if (!*local)
        free(local);
    for (uint64_t i = 0; !reader->failed && i < count; i++)
        read_attribute(reader, name);
    return name;
}

static OM_uint32 write_message(OM_uint32 *minor, struct writer *writer, struct message *message) {
    gss_buffer_desc state = GSS_C_EMPTY_BUFFER;
    OM_uint32 major = GSS_S_COMPLETE, ignored;

    if (message)
        major = with_words(minor, message_export(minor, message, &state));
    write_field(writer, state.value, state.length);
    if (state.value)
        explicit_bzero(state.value, state.length);
    gss_release_buffer(&ignored, &state);
    return major;
}

/* The token has the context's key in it, and is as secret as that (RFC 2743 section 2.2.8). */
EXPORT OM_uint32 gss_export_sec_context(OM_uint32 *minor, gss_ctx_id_t *handle,
                                        gss_buffer_t token) {
    struct context *context = context_of(*handle);
    OM_uint32 major = check_established(minor, context);
    struct writer writer = {0};

    if (major != GSS_S_COMPLETE)
        return major;
    write_number(&writer, EXPORT_VERSION);
    write_number(&writer, context->is_initiator);
    write_number(&writer, context->flags);
    write_number(&writer, (uint64_t)context->expires);
    write_name(&writer, context->source);
    write_name(&writer, context->target);
    major = write_message(minor, &writer, context->message);
    if (major == GSS_S_COMPLETE && writer.failed)
        major = gss_status_no_memory(minor);
    if (major != GSS_S_COMPLETE) {
        if (writer.octets)
            explicit_bzero(writer.octets, writer.length);
        free(writer.octets);
        return major;
    }
    token->value = writer.octets;
    token->length = writer.length;
    release(context);
    *handle = GSS_C_NO_CONTEXT;
    return GSS_S_COMPLETE;
}

static OM_uint32 read_message(OM_uint32 *minor, struct reader *reader, struct context *context) {
    size_t length = read_number(reader);
    const unsigned char *state = read_octets(reader, length);

    if (!state || length == 0)
        return GSS_S_COMPLETE;
    return with_words(minor, message_import(minor, state, length, &context->message));
}

static OM_uint32 read_context(OM_uint32 *minor, struct reader *reader, struct context *context) {
    bool known = read_number(reader) == EXPORT_VERSION;
    OM_uint32 major;

    context->is_initiator = read_number(reader) != 0;
    context->flags = (OM_uint32)read_number(reader);
    context->expires = (time_t)read_number(reader);
    if (known)
        context->source = read_name(reader, context->mechanism);
    if (known && !reader->failed)
        context->target = read_name(reader, context->mechanism);
    major = read_message(minor, reader, context);
    context->established = true;
    if (reader->without_memory)
        return gss_status_no_memory(minor);
    if (major == GSS_S_COMPLETE && (!known || reader->failed || reader->length > 0))
        major = gss_status_fail(minor, GSS_S_DEFECTIVE_TOKEN, REASON_BAD_CONTEXT_TOKEN,
                                "this is no exported context, or of another release's");
    return major;
}

EXPORT OM_uint32 gssspi_import_sec_context_by_mech(OM_uint32 *minor, gss_OID mechanism,
                                                   gss_buffer_t token, gss_ctx_id_t *handle) {
    struct reader reader = {.octets = token->value, .length = token->length};
    int row = mechanism_of(mechanism);
    struct context *context;
    OM_uint32 major;

    *minor = 0;
    *handle = GSS_C_NO_CONTEXT;
    if (row == NO_MECHANISM)
        return gss_status_fail(minor, GSS_S_BAD_MECH, REASON_WRONG_MECH, "there is no such mechanism");
    major = new_context(minor, row, false, &context);
    if (major != GSS_S_COMPLETE)
        return major;
    major = read_context(minor, &reader, context);
    if (major == GSS_S_COMPLETE)
        *handle = (gss_ctx_id_t)context;
    else
        release(context);
    return major;
}

/* Protecting messages */

/* The protection of an established context, or NULL and why there is none. */
static struct message *message_of(OM_uint32 *minor, gss_ctx_id_t handle, OM_uint32 *major) {
    const struct context *context = context_of(handle);

    *major = check_established(minor, context);
    if (*major != GSS_S_COMPLETE)
        return NULL;
    if (!context->message)
        *major = gss_status_fail(minor, GSS_S_UNAVAILABLE, REASON_NO_SESSION_KEY,
                                 "this context protects no messages: its mechanism agrees on no key, "
                                 "or the acceptor's configuration (`keys`) gives this program none");
    return context->message;
}

#define PROTECT(function, ...)                                                                     \
    OM_uint32 major;                                                                               \
    struct message *message = message_of(minor, handle, &major);                                  \
                                                                                                   \
    return message ? with_words(minor, function(minor, message, __VA_ARGS__)) : major

EXPORT OM_uint32 gss_wrap(OM_uint32 *minor, gss_ctx_id_t handle, int conf_req, gss_qop_t qop,
                          gss_buffer_t input, int *conf_state, gss_buffer_t output) {
    PROTECT(message_wrap, conf_req, qop, input, conf_state, output);
}

EXPORT OM_uint32 gss_unwrap(OM_uint32 *minor, gss_ctx_id_t handle, gss_buffer_t input,
                            gss_buffer_t output, int *conf_state, gss_qop_t *qop) {
    PROTECT(message_unwrap, input, output, conf_state, qop);
}

EXPORT OM_uint32 gss_get_mic(OM_uint32 *minor, gss_ctx_id_t handle, gss_qop_t qop,
                             gss_buffer_t input, gss_buffer_t token) {
    PROTECT(message_get_mic, qop, input, token);
}

EXPORT OM_uint32 gss_verify_mic(OM_uint32 *minor, gss_ctx_id_t handle, gss_buffer_t input,
                                gss_buffer_t token, gss_qop_t *qop) {
    PROTECT(message_verify_mic, input, token, qop);
}

EXPORT OM_uint32 gss_wrap_size_limit(OM_uint32 *minor, gss_ctx_id_t handle, int conf_req,
                                     gss_qop_t qop, OM_uint32 most_output, OM_uint32 *most_input) {
    PROTECT(message_wrap_size_limit, conf_req, qop, most_output, most_input);
}

EXPORT OM_uint32 gss_wrap_iov(OM_uint32 *minor, gss_ctx_id_t handle, int conf_req, gss_qop_t qop,
                              int *conf_state, gss_iov_buffer_desc *iov, int count) {
    PROTECT(message_wrap_iov, conf_req, qop, conf_state, iov, count);
}

EXPORT OM_uint32 gss_wrap_iov_length(OM_uint32 *minor, gss_ctx_id_t handle, int conf_req,
                                     gss_qop_t qop, int *conf_state, gss_iov_buffer_desc *iov,
                                     int count) {
    PROTECT(message_wrap_iov_length, conf_req, qop, conf_state, iov, count);
}

EXPORT OM_uint32 gss_unwrap_iov(OM_uint32 *minor, gss_ctx_id_t handle, int *conf_state,
                                gss_qop_t *qop, gss_iov_buffer_desc *iov, int count) {
    PROTECT(message_unwrap_iov, conf_state, qop, iov, count);
}

EXPORT OM_uint32 gss_get_mic_iov(OM_uint32 *minor, gss_ctx_id_t handle, gss_qop_t qop,
                                 gss_iov_buffer_desc *iov, int count) {
    PROTECT(message_get_mic_iov, qop, iov, count);
}

EXPORT OM_uint32 gss_get_mic_iov_length(OM_uint32 *minor, gss_ctx_id_t handle, gss_qop_t qop,
                                        gss_iov_buffer_desc *iov, int count) {
    PROTECT(message_get_mic_iov_length, qop, iov, count);
}

EXPORT OM_uint32 gss_verify_mic_iov(OM_uint32 *minor, gss_ctx_id_t handle, gss_qop_t *qop,
                                    gss_iov_buffer_desc *iov, int count) {
    PROTECT(message_verify_mic_iov, qop, iov, count);
}

EXPORT OM_uint32 gss_pseudo_random(OM_uint32 *minor, gss_ctx_id_t handle, int prf_key,
                                   const gss_buffer_t input, ssize_t size, gss_buffer_t output) {
    PROTECT(message_pseudo_random, prf_key, input, size, output);
}

EXPORT OM_uint32 gss_inquire_sec_context_by_oid(OM_uint32 *minor, const gss_ctx_id_t handle,
                                                const gss_OID what, gss_buffer_set_t *values) {
    PROTECT(message_inquire_by_oid, what, values);
}

/* What a mechanism says of itself */

EXPORT OM_uint32 gss_display_status(OM_uint32 *minor, OM_uint32 status, int type,
                                    gss_OID mechanism, OM_uint32 *more, gss_buffer_t text) {
    const char *words = gss_status_words(status);

    (void)mechanism;
    *minor = 0;
    *more = 0;
    if (type != GSS_C_MECH_CODE) /* mechglue has its own words for the others */
        return GSS_S_BAD_STATUS;
    text->length = strlen(words);
    text->value = strdup(words);
    return text->value ? GSS_S_COMPLETE : GSS_S_FAILURE;
}

EXPORT OM_uint32 gss_indicate_mechs(OM_uint32 *minor, gss_OID_set *set) {
    const gss_OID_desc *all[COUNT(mechanisms)];

    *minor = 0;
    for (size_t row = 0; row < COUNT(mechanisms); row++)
        all[row] = mechanism_oid((int)row);
    return mechanism_set(minor, all, COUNT(mechanisms), set);
}

static OM_uint32 put_text(OM_uint32 *minor, const char *text, gss_buffer_t buffer) {
    if (!buffer)
        return GSS_S_COMPLETE;
    buffer->value = strdup(text);
    buffer->length = buffer->value ? strlen(text) : 0;
    return buffer->value ? GSS_S_COMPLETE : gss_status_no_memory(minor);
}

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), size = strlen(end);

    return length >= size && strcmp(text + length - size, end) == 0;
}

/* Whether a loaded library is our own plugin for libsasl2, or the GS2 plugin with ours beside it. */
static int is_beside_ours(struct dl_phdr_info *library, size_t size, void *found) {
    static const char gs2[] = "/libgs2.so", ours[] = "/libbrowserid.so";
    const char *path = library->dlpi_name;
    char beside[PATH_MAX];

    (void)size;
    if (!path)
        return 0;
    if (ends_with(path, gs2) &&
        snprintf(beside, sizeof beside, "%.*s%s", (int)(strlen(path) - strlen(gs2)), path, ours) <
            (int)sizeof beside)
        *(bool *)found = access(beside, R_OK) == 0;
    if (ends_with(path, ours))
        *(bool *)found = true;
    return *(bool *)found;
}

/*
 * libsasl2 does not notice that two of its plugins offer the same mechanism. Where our own is, Cyrus's
 * GS2 plugin is told that there are no names for ours: it takes what has none for something else.
 */
static bool has_sasl_plugin(void) {
    bool found = false;

    dl_iterate_phdr(is_beside_ours, &found);
    return found;
}

/*
 * libsasl2 does not go back from a mechanism that fails either, and the GS2 plugin lists what has a
 * name to whoever asks: so there are names where a login can come of them.
 */
static bool is_of_use(void) {
    return agent_is_of_use() || access(credential_default_acceptor(), W_OK) == 0;
}

EXPORT OM_uint32 gss_inquire_saslname_for_mech(OM_uint32 *minor, const gss_OID mechanism,
                                               gss_buffer_t sasl_name, gss_buffer_t name,
                                               gss_buffer_t description) {
    int row = mechanism_of(mechanism);
    OM_uint32 major, ignored;

    *minor = 0;
    if (row == NO_MECHANISM)
        return gss_status_fail(minor, GSS_S_BAD_MECH, REASON_WRONG_MECH, "there is no such mechanism");
    if (sasl_name && has_sasl_plugin())
        return gss_status_fail(minor, GSS_S_BAD_MECH, REASON_WRONG_MECH,
                               "libbrowserid.so offers %s to libsasl2", mechanism_name(row));
    if (sasl_name && !is_of_use())
        return gss_status_fail(minor, GSS_S_BAD_MECH, REASON_NO_DEFAULT_CRED,
                               "nobody is signed in, and there is no acceptor to ask");
    major = put_text(minor, mechanism_name(row), sasl_name);
    if (major == GSS_S_COMPLETE)
        major = put_text(minor, mechanism_name(row), name);
    if (major == GSS_S_COMPLETE)
        major = put_text(minor, "An e-mail identity that its domain vouches for", description);
    if (major == GSS_S_COMPLETE)
        return major;
    gss_release_buffer(&ignored, sasl_name);
    gss_release_buffer(&ignored, name);
    return major;
}

EXPORT OM_uint32 gss_inquire_mech_for_saslname(OM_uint32 *minor, const gss_buffer_t name,
                                               gss_OID *mechanism) {
    int row = mechanism_named(name->value, name->length);

    *minor = 0;
    if (row == NO_MECHANISM)
        return gss_status_fail(minor, GSS_S_BAD_MECH, REASON_WRONG_MECH, "there is no such mechanism");
    *mechanism = mechanism_oid(row);
    return GSS_S_COMPLETE;
}

/* RFC 5587. Where there is no key, a context says who the initiator is and no more. */
static OM_uint32 make_attributes(OM_uint32 *minor, bool has_key, bool has_scheme,
                                 gss_OID_set *set) {
    enum { WITHOUT_KEY = 6, WITHOUT_SCHEME = 14 }; /* so many, the first */
    const gss_OID_desc *const all[] = {
        GSS_C_MA_MECH_CONCRETE, GSS_C_MA_ITOK_FRAMED, GSS_C_MA_AUTH_INIT, GSS_C_MA_AUTH_INIT_INIT,
        GSS_C_MA_CBINDINGS, GSS_C_MA_CTX_TRANS,
        GSS_C_MA_AUTH_TARG, GSS_C_MA_INTEG_PROT, GSS_C_MA_CONF_PROT, GSS_C_MA_MIC, GSS_C_MA_WRAP,
        GSS_C_MA_REPLAY_DET, GSS_C_MA_OOS_DET, GSS_C_MA_PFS,
        /* Without it what has a scheme would be negotiated by NegoEx alone. */
        GSS_C_MA_NEGOEX_AND_SPNEGO,
    };

    return mechanism_set(minor, all, !has_key ? WITHOUT_KEY : has_scheme ? COUNT(all) : WITHOUT_SCHEME,
                         set);
}

EXPORT OM_uint32 gss_inquire_attrs_for_mech(OM_uint32 *minor, gss_const_OID mechanism,
                                            gss_OID_set *attributes, gss_OID_set *known) {
    int row = mechanism_of(mechanism);
    OM_uint32 major = GSS_S_COMPLETE, ignored;

    *minor = 0;
    if (row == NO_MECHANISM)
        return gss_status_fail(minor, GSS_S_BAD_MECH, REASON_WRONG_MECH, "there is no such mechanism");
    if (attributes)
        major = make_attributes(minor, mechanism_has_key(row), mechanism_negoex_scheme(row), attributes);
    if (major == GSS_S_COMPLETE && known)
        major = make_attributes(minor, true, true, known);
    if (major != GSS_S_COMPLETE && attributes)
        gss_release_oid_set(&ignored, attributes);
    return major;
}

static bool is_own_oid(gss_const_OID oid) {
    bool is = oid == &name_own_form;

    for (size_t row = 0; row < COUNT(mechanisms); row++)
        is = is || oid == mechanism_oid((int)row);
    return is;
}

/* Our identifiers are nobody's to free. */
EXPORT OM_uint32 gss_internal_release_oid(OM_uint32 *minor, gss_OID *oid) {
    *minor = 0;
    if (!is_own_oid(*oid))
        return GSS_S_CONTINUE_NEEDED;
    *oid = GSS_C_NO_OID;
    return GSS_S_COMPLETE;
}
