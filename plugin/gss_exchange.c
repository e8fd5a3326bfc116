/*
 * One line for each token, as the other plugins do it. Nobody's name or key is in doubt where a
 * service does not answer: that is GSS_S_FAILURE with a sentence on what is the matter with it.
 */

#define _GNU_SOURCE
#include "gss_exchange.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "gss_status.h"

#define ACCEPTOR_AT "the acceptor at"
#define AGENT_AT "the agent, which " AGENT " starts, at"

/* What to do about it. */
static const char *remedy(bool is_agent, enum wire_status status) {
    switch (status) {
    case WIRE_ABSENT:
        return is_agent ? "; take BROWSERID_AGENT out of the environment, or start the agent that it names"
                        : "; start it: systemctl start browserid-acceptor";
    case WIRE_BARRED:
    case WIRE_FOREIGN:
        return is_agent ? "; see whose it is that BROWSERID_AGENT names"
                        : "; see `owner`, `group` and `mode` in [listeners] of its configuration";
    case WIRE_LATE: return is_agent ? "; end it and try again" : "; see its log, and try again";
    case WIRE_CLOSED:
    case WIRE_UNREAD: return "; try again";
    case WIRE_STRANGE:
        return is_agent ? "; see what BROWSERID_AGENT names" : "; see what BROWSERID_ACCEPTOR names";
    default: return "";
    }
}

static OM_uint32 lose(OM_uint32 *minor, struct exchange *exchange, const char *path,
                      enum wire_status status) {
    /* Before the wire is closed: the path may be in it. */
    OM_uint32 major =
        status == WIRE_NO_MEMORY
            ? gss_status_no_memory(minor)
            : gss_status_fail(minor, GSS_S_FAILURE, REASON_UNAVAILABLE, "%s %s: %s%s",
                              exchange->is_agent ? AGENT_AT : ACCEPTOR_AT, path, wire_words(status),
                              remedy(exchange->is_agent, status));

    exchange_end(exchange, false);
    return major;
}

void exchange_end(struct exchange *exchange, bool clean) {
    struct wire *wire = exchange->wire;

    exchange->wire = NULL;
    if (!wire)
        return;
    if (clean && wire_is_ours(wire)) {
        /* There may have been a key in the answer, and a connection that lies idle keeps its room. */
        explicit_bzero(wire->in, wire->begins);
        wire_give_back(wire);
    } else {
        explicit_bzero(wire->in, sizeof wire->in);
        wire_close(wire);
    }
}

OM_uint32 exchange_begin_agent(OM_uint32 *minor, struct exchange *exchange, const char *verb,
                               const char *word) {
    enum wire_status status;
    char path[PATH_MAX];

    exchange->is_agent = true;
    exchange->wire = agent_take(path, sizeof path, &status);
    if (!exchange->wire)
        return lose(minor, exchange, path, status);
    exchange->id = ++exchange->wire->last_id;
    wire_begin(exchange->wire, verb, exchange->id);
    if (word)
        wire_word(exchange->wire, word);
    return GSS_S_COMPLETE;
}

OM_uint32 exchange_begin_acceptor(OM_uint32 *minor, struct exchange *exchange, const char *path,
                                  const char *mechanism) {
    enum wire_status status;

    exchange->is_agent = false;
    exchange->wire = wire_take(path, &wire_acceptor, &status);
    if (!exchange->wire)
        return lose(minor, exchange, path, status);
    exchange->id = ++exchange->wire->last_id;
    wire_begin(exchange->wire, "AUTH", exchange->id);
    wire_word(exchange->wire, mechanism);
    wire_text(exchange->wire, "", "bid", "1");
    wire_text(exchange->wire, "bid_", "context", "1");
    return GSS_S_COMPLETE;
}

OM_uint32 exchange_go_on(OM_uint32 *minor, struct exchange *exchange,
                         const gss_buffer_desc *token) {
    if (!exchange->wire)
        return gss_status_fail(minor, GSS_S_FAILURE, REASON_INVALID_USAGE, "the exchange is over");
    if (!wire_is_ours(exchange->wire)) /* it is the parent's, who may be using it */
        return lose(minor, exchange, exchange->wire->path, WIRE_CLOSED);
    wire_begin(exchange->wire, "CONT", exchange->id);
    wire_octets(exchange->wire, "", "", token->value, token->length);
    return GSS_S_COMPLETE;
}

const char *exchange_value(const struct exchange *exchange, const struct wire_line *answer,
                           const char *name) {
    char prefixed[32];

    snprintf(prefixed, sizeof prefixed, "%s%s", exchange->is_agent ? "" : "bid_", name);
    return wire_value(answer, prefixed);
}

/* A number of 32 bits; what is none is 0. */
static OM_uint32 number_of(const char *text) {
    char *end;
    unsigned long number = text ? strtoul(text, &end, 10) : 0;

    return text && *text && !*end && number <= UINT_MAX ? (OM_uint32)number : 0;
}

/* What the service refuses with. Nothing that comes here is a success, whatever it says. */
static OM_uint32 refused(OM_uint32 *minor, const struct exchange *exchange,
                         const struct wire_line *answer) {
    OM_uint32 major = number_of(exchange_value(exchange, answer, "major"));
    const char *why = exchange_value(exchange, answer, "detail");

    major &= GSS_C_ROUTINE_ERROR_MASK << GSS_C_ROUTINE_ERROR_OFFSET;
    return gss_status_fail(minor, major ? major : GSS_S_FAILURE,
                           number_of(exchange_value(exchange, answer, "minor")), "%s",
                           why ? why : "authentication failed");
}

static OM_uint32 hand_over(OM_uint32 *minor, const char *base64, gss_buffer_t output) {
    char *octets;

    if (!output || !base64 || !*base64)
        return GSS_S_COMPLETE;
    octets = strdup(base64);
    if (!octets)
        return gss_status_no_memory(minor);
    if (!wire_decode(octets, &output->length)) {
        free(octets);
        return gss_status_fail(minor, GSS_S_FAILURE, REASON_UNAVAILABLE,
                               "the service's answer is not base64");
    }
    output->value = octets;
    if (output->length > 0)
        return GSS_S_COMPLETE;
    free(octets);
    output->value = NULL;
    return GSS_S_COMPLETE;
}

OM_uint32 exchange_ask(OM_uint32 *minor, struct exchange *exchange, struct wire_line *answer,
                       gss_buffer_t output) {
    enum wire_status status = wire_ask(exchange->wire, exchange->id, answer);
    const char *verb, *token = NULL;
    OM_uint32 major, handed, ignored;

    if (status != WIRE_OK)
        return lose(minor, exchange, exchange->wire->path, status);
    verb = answer->fields[0];
    if (strcmp(verb, "OK") == 0)
        major = GSS_S_COMPLETE;
    else if (strcmp(verb, "CONT") == 0 && answer->count > 2)
        major = GSS_S_CONTINUE_NEEDED;
    else if (strcmp(verb, "FAIL") == 0)
        major = refused(minor, exchange, answer);
    else
        return lose(minor, exchange, exchange->wire->path, WIRE_STRANGE);
    if (major == GSS_S_CONTINUE_NEEDED || (exchange->is_agent && !GSS_ERROR(major)))
        token = answer->count > 2 ? answer->fields[2] : NULL;
    else if (!exchange->is_agent)
        token = wire_value(answer, "resp");
    /* That nobody can be told why is no reason to forget it. */
    handed = hand_over(GSS_ERROR(major) ? &ignored : minor, token, output);
    return GSS_ERROR(major) ? major : handed == GSS_S_COMPLETE ? major : handed;
}
