/* Minor statuses of the GSS-API module, and our sentences for them. */

#ifndef BROWSERID_GSS_STATUS_H
#define BROWSERID_GSS_STATUS_H

#include <gssapi/gssapi.h>

/* Numbers of reasons that come up here (PROTOCOL.md section 4.4). */
enum {
    REASON_NO_CONTEXT = 1,
    REASON_NO_MEMORY = 2,
    REASON_INVALID_PARAMETER = 4,
    REASON_INVALID_USAGE = 5,
    REASON_UNAVAILABLE = 6,
    REASON_UNKNOWN_ATTRIBUTE = 37,
    REASON_NO_SESSION_KEY = 40,
};
#define REASON_TABLE_B(number) (0x80000000u | (number))
#define REASON_WRONG_MECH REASON_TABLE_B(2u)
#define REASON_BAD_TOKEN_HEADER REASON_TABLE_B(3u)
#define REASON_CONTEXT_ESTABLISHED REASON_TABLE_B(9u)
#define REASON_CONTEXT_INCOMPLETE REASON_TABLE_B(10u)
#define REASON_BAD_CONTEXT_TOKEN REASON_TABLE_B(11u)
#define REASON_BAD_SERVICE_NAME REASON_TABLE_B(15u)
#define REASON_BAD_NAME_TOKEN REASON_TABLE_B(20u)
#define REASON_NO_LOCAL_MAPPING REASON_TABLE_B(21u)
#define REASON_CRED_USAGE REASON_TABLE_B(23u)
#define REASON_NO_DEFAULT_CRED REASON_TABLE_B(28u)

/* Fail: the minor status is set, and this thread keeps the sentence for gss_display_status. */
OM_uint32 gss_status_fail(OM_uint32 *minor, OM_uint32 major, OM_uint32 reason, const char *format,
                          ...) __attribute__((format(printf, 4, 5)));

/* The same for lack of memory. */
OM_uint32 gss_status_no_memory(OM_uint32 *minor);

/* What there is to say of a minor status: the thread's last sentence if it is of this one. */
const char *gss_status_words(OM_uint32 reason);

#endif
