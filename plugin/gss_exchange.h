/* Asking the agent and the acceptor to make contexts (docs/wire.md, docs/agent.md). */

#ifndef BROWSERID_GSS_EXCHANGE_H
#define BROWSERID_GSS_EXCHANGE_H

#include <gssapi/gssapi.h>

#include "wire.h"

/* One conversation with a service: about a context under way, or one question. */
struct exchange {
    bool is_agent;
    struct wire *wire; /* while an answer is due, or another token; NULL when it is over */
    unsigned id;
};

/*
 * Begin a request to the agent, with a verb and its first word, or to the acceptor at `path`. Add
 * fields to `exchange->wire`, then exchange_ask.
 */
OM_uint32 exchange_begin_agent(OM_uint32 *minor, struct exchange *exchange, const char *verb,
                               const char *word);
OM_uint32 exchange_begin_acceptor(OM_uint32 *minor, struct exchange *exchange, const char *path,
                                  const char *mechanism);

/* Go on with a further token. */
OM_uint32 exchange_go_on(OM_uint32 *minor, struct exchange *exchange, const gss_buffer_desc *token);

/*
 * Send what was begun and wait for the answer, whose texts live in the wire until the next request.
 * GSS_S_COMPLETE: the service has said OK. GSS_S_CONTINUE_NEEDED: it waits for another token. Else
 * the exchange is to be ended. `output`, if it is not NULL, is what to send to the other side,
 * whether it has succeeded or failed.
 */
OM_uint32 exchange_ask(OM_uint32 *minor, struct exchange *exchange, struct wire_line *answer,
                       gss_buffer_t output);

/* It is over. `clean`: the service has said its last word, and the connection can be used again. */
void exchange_end(struct exchange *exchange, bool clean);

/* The value of a field, without the prefix that the acceptor's own have; NULL if there is none. */
const char *exchange_value(const struct exchange *exchange, const struct wire_line *answer,
                           const char *name);

#endif
