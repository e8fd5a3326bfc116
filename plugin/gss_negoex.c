/*
 * NegoEx (draft-zhu-negoex), by which SPNEGO lets mechanisms prove what was negotiated. The two sides
 * have nothing to tell each other before the first token, so their metadata is empty. Its checksums
 * are by the context's key (message_inquire_by_oid).
 */

#include <gssapi/gssapi_ext.h>
#include <string.h>

#include "agent.h"
#include "gss_credential.h"
#include "gss_mechanism.h"
#include "gss_status.h"

#define EXPORT __attribute__((visibility("default")))

enum { SCHEME_SIZE = 16 };

static const unsigned char *find_scheme(OM_uint32 *minor, gss_const_OID mechanism,
                                        OM_uint32 *major) {
    int row = mechanism_of(mechanism);
    const unsigned char *scheme = row == NO_MECHANISM ? NULL : mechanism_negoex_scheme(row);

    *minor = 0;
    *major = scheme ? GSS_S_COMPLETE
                    : gss_status_fail(minor, GSS_S_UNAVAILABLE, REASON_WRONG_MECH,
                                      "the mechanism is not negotiated by NegoEx");
    return scheme;
}

EXPORT OM_uint32 gssspi_query_mechanism_info(OM_uint32 *minor, gss_const_OID mechanism,
                                             unsigned char scheme[SCHEME_SIZE]) {
    OM_uint32 major;
    const unsigned char *found = find_scheme(minor, mechanism, &major);

    if (found)
        memcpy(scheme, found, SCHEME_SIZE);
    return major;
}

/* Who fails here is not offered. */
EXPORT OM_uint32 gssspi_query_meta_data(OM_uint32 *minor, gss_const_OID mechanism,
                                        gss_cred_id_t credential, gss_ctx_id_t *context,
                                        const gss_name_t target, OM_uint32 flags,
                                        gss_buffer_t metadata) {
    OM_uint32 major;

    (void)context;
    (void)flags;
    *metadata = (gss_buffer_desc)GSS_C_EMPTY_BUFFER;
    if (!find_scheme(minor, mechanism, &major))
        return major;
    /* Only an initiator has a target. */
    if (target && !credential && !agent_is_of_use())
        return gss_status_fail(minor, GSS_S_NO_CRED, REASON_NO_DEFAULT_CRED,
                               "nobody is signed in: browserid login ADDRESS");
    return GSS_S_COMPLETE;
}

/* What a later release has to tell is no reason not to talk to it. */
EXPORT OM_uint32 gssspi_exchange_meta_data(OM_uint32 *minor, gss_const_OID mechanism,
                                           gss_cred_id_t credential, gss_ctx_id_t *context,
                                           const gss_name_t target, OM_uint32 flags,
                                           gss_const_buffer_t metadata) {
    OM_uint32 major;

    (void)credential;
    (void)context;
    (void)target;
    (void)flags;
    (void)metadata;
    (void)find_scheme(minor, mechanism, &major);
    return major;
}
