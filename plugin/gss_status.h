/* Minor statuses of the GSS-API module, and our sentences for them. */

#ifndef BROWSERID_GSS_STATUS_H
#define BROWSERID_GSS_STATUS_H

#include "reason.h"

#include <gssapi/gssapi.h>

/* Fail: the minor status is set, and this thread keeps the sentence for gss_display_status. */
OM_uint32 gss_status_fail(OM_uint32 *minor, OM_uint32 major, OM_uint32 reason, const char *format,
                          ...) __attribute__((format(printf, 4, 5)));

/* The same for lack of memory. */
OM_uint32 gss_status_no_memory(OM_uint32 *minor);

/* What there is to say of a minor status: the thread's last sentence if it is of this one. */
const char *gss_status_words(OM_uint32 reason);

#endif
