/* The table of mechanisms as GSS-API has it: the last arc of an identifier is the enctype. */

#include "gss_mechanism.h"

#include <string.h>
#include <strings.h>

#include "gss_status.h"
#include "mechanisms.h"

enum { ROWS = sizeof mechanisms / sizeof *mechanisms, TAG_TOKEN = 0x60, TAG_OID = 6 };

int mechanism_of(gss_const_OID oid) {
    for (int row = 0; oid && row < ROWS; row++)
        if (oid->length == mechanisms[row].oid_length &&
            memcmp(oid->elements, mechanisms[row].oid, oid->length) == 0)
            return row;
    return NO_MECHANISM;
}

gss_OID mechanism_oid(int row) {
    static gss_OID_desc oids[ROWS];

    /* Always the same: threads that write it at once do no harm. */
    oids[row] = (gss_OID_desc){mechanisms[row].oid_length, (void *)mechanisms[row].oid};
    return &oids[row];
}

const char *mechanism_name(int row) { return mechanisms[row].name; }

bool mechanism_has_key(int row) { return mechanisms[row].key_exchange; }

int mechanism_enctype(int row) { return mechanisms[row].enctype; }

/*
 * MIT's SPNEGO offers NegoEx before the first mechanism that has a scheme, and it takes a round trip
 * more and the context's key on both sides. So those whose encryption is older go before it and are
 * negotiated as they are; NegoEx protects its messages by the encryption types of the others.
 */
const unsigned char *mechanism_negoex_scheme(int row) {
    enum { AES128_CTS_HMAC_SHA256_128 = 19 };

    return mechanisms[row].enctype >= AES128_CTS_HMAC_SHA256_128 ? mechanisms[row].negoex_scheme
                                                                 : NULL;
}

int mechanism_named(const char *name, size_t length) {
    for (int row = 0; row < ROWS; row++)
        if (strlen(mechanisms[row].name) == length &&
            strncasecmp(mechanisms[row].name, name, length) == 0)
            return row;
    return NO_MECHANISM;
}

OM_uint32 mechanism_set(OM_uint32 *minor, const gss_OID_desc *const oids[], size_t count,
                        gss_OID_set *set) {
    OM_uint32 major = gss_create_empty_oid_set(minor, set), ignored;

    for (size_t i = 0; major == GSS_S_COMPLETE && i < count; i++)
        major = gss_add_oid_set_member(minor, (gss_OID)oids[i], set);
    if (major == GSS_S_COMPLETE)
        return major;
    gss_release_oid_set(&ignored, set);
    return gss_status_no_memory(minor); /* there is nothing else that can fail, and their number is theirs */
}

int mechanism_of_token(const gss_buffer_desc *token) {
    const unsigned char *octets = token->value;
    size_t length = token->length, at = 2;
    gss_OID_desc oid;

    if (length < at || octets[0] != TAG_TOKEN)
        return NO_MECHANISM;
    if (octets[1] & 0x80)
        at += octets[1] & 0x7f;
    if (at + 2 > length || octets[at] != TAG_OID || octets[at + 1] > length - at - 2)
        return NO_MECHANISM;
    oid.length = octets[at + 1];
    oid.elements = (void *)(octets + at + 2);
    return mechanism_of(&oid);
}
