/* The table of mechanisms as GSS-API has it. */

#ifndef BROWSERID_GSS_MECHANISM_H
#define BROWSERID_GSS_MECHANISM_H

#include <gssapi/gssapi.h>
#include <stdbool.h>

enum { NO_MECHANISM = -1 };

/* The row of an object identifier; NO_MECHANISM if it is none of ours. */
int mechanism_of(gss_const_OID oid);
gss_OID mechanism_oid(int row);
const char *mechanism_name(int row);
bool mechanism_has_key(int row);
int mechanism_enctype(int row);
/* What NegoEx calls it, 16 octets; NULL if it is not negotiated by that. */
const unsigned char *mechanism_negoex_scheme(int row);
int mechanism_named(const char *name, size_t length);

/* A set of object identifiers, whole or none. */
OM_uint32 mechanism_set(OM_uint32 *minor, const gss_OID_desc *const oids[], size_t count,
                        gss_OID_set *set);

/* The mechanism that a first token names (RFC 2743 section 3.1). */
int mechanism_of_token(const gss_buffer_desc *token);

#endif
