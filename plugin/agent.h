/* The person's agent, which logs in for their programs. */

#ifndef BROWSERID_AGENT_H
#define BROWSERID_AGENT_H

#include "wire.h"

/* Whether there is a reason to ask it: somebody has signed in, or it is named and at home elsewhere. */
bool agent_is_of_use(void);

/*
 * A connection to it, see wire_take. It is started if it does not run, unless BROWSERID_AGENT says
 * where it is. `path` is set to where that was.
 */
struct wire *agent_take(char path[], size_t size, enum wire_status *status);

/* Add to a request where this program's windows are, for an agent that was started where none were. */
void agent_tell_displays(struct wire *wire);

#endif
