/*
 * Protection of an established context's messages: RFC 4121 tokens, by the key that the two ends have
 * agreed on (PROTOCOL.md section 5), and what else is derived from that key.
 *
 * The functions have the arguments of the GSS-API functions they are named after, with the protection
 * in place of the context. They give a major status and set the minor one: 0, or the number of a
 * reason of PROTOCOL.md section 4.4, for which message_words has a sentence. What they give out in a
 * gss_buffer_t is for gss_release_buffer; an empty message is a buffer without memory.
 *
 * One thread may send while another receives, and several may do either: each call is whole. After
 * fork, or export, only one of two copies may go on: both would use the same sequence numbers.
 */

#ifndef BROWSERID_MESSAGE_H
#define BROWSERID_MESSAGE_H

#include <gssapi/gssapi_ext.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct message;

/* Where a context is at its beginning, or where it has got to. */
struct message_start {
    int enctype;         /* the last arc of the mechanism's identifier: 17 to 20 */
    bool initiator;      /* which end this is */
    bool acceptor_subkey; /* whether an extra round trip took place: a flag in every token */
    bool dce;            /* DCE style: the acceptor's sealed tokens have 16 octets of filler */
    uint64_t send;       /* number of the next token sent; 0 in our own contexts */
    uint64_t receive;    /* number of the token that is expected next; 0 likewise */
};

/*
 * Protection by a key: the first octets of `root`, of which there are at least as many as the
 * encryption type wants (32 do for all). Fails for an encryption type that is not in the table, so
 * that a mechanism without key exchange has no protection (no-session-key), for a key that is too
 * short, and for lack of memory. The caller wipes `root`.
 */
OM_uint32 message_create(OM_uint32 *minor, const struct message_start *start, const void *root,
                         size_t size, struct message **message);

/* Nothing, if there is none. No key stays behind in memory. */
void message_free(struct message *message);

/*
 * The state as octets, for a context on its way to another process: they have the key in them, so the
 * context's token is a secret. What comes in is checked throughout; octets that were not made by
 * message_export are GSS_S_DEFECTIVE_TOKEN (bad-context-token).
 */
OM_uint32 message_export(OM_uint32 *minor, struct message *message, gss_buffer_t octets);
OM_uint32 message_import(OM_uint32 *minor, const void *octets, size_t size, struct message **message);

/*
 * A token that came before, or is older than the last 64, is GSS_S_DUPLICATE_TOKEN or GSS_S_OLD_TOKEN,
 * and its message is withheld: the output is empty, buffers in place are cleared. One after a gap is
 * GSS_S_GAP_TOKEN, one that fills a gap GSS_S_UNSEQ_TOKEN, with their message. None of these is a
 * GSS_ERROR. The sender's numbers used up: GSS_S_UNAVAILABLE.
 */
OM_uint32 message_wrap(OM_uint32 *minor, struct message *message, int conf_req, gss_qop_t qop,
                       const gss_buffer_desc *input, int *conf_state, gss_buffer_t output);
OM_uint32 message_unwrap(OM_uint32 *minor, struct message *message, const gss_buffer_desc *input,
                         gss_buffer_t output, int *conf_state, gss_qop_t *qop);
OM_uint32 message_get_mic(OM_uint32 *minor, struct message *message, gss_qop_t qop,
                          const gss_buffer_desc *input, gss_buffer_t token);
OM_uint32 message_verify_mic(OM_uint32 *minor, struct message *message,
                             const gss_buffer_desc *input, const gss_buffer_desc *token,
                             gss_qop_t *qop);
OM_uint32 message_wrap_size_limit(OM_uint32 *minor, struct message *message, int conf_req,
                                  gss_qop_t qop, OM_uint32 most_output, OM_uint32 *most_input);

/*
 * Buffers in pieces, as gssapi_ext.h has them: HEADER, any number of DATA and SIGN_ONLY, PADDING
 * (always empty), TRAILER. Without a TRAILER the HEADER holds what would be in it, and the token says so
 * by its rotation. To unwrap there may be a STREAM with one DATA instead. What gss_wrap_aead needs
 * the mechglue makes of these.
 */
OM_uint32 message_wrap_iov(OM_uint32 *minor, struct message *message, int conf_req, gss_qop_t qop,
                           int *conf_state, gss_iov_buffer_desc *iov, int count);
OM_uint32 message_wrap_iov_length(OM_uint32 *minor, struct message *message, int conf_req,
                                  gss_qop_t qop, int *conf_state, gss_iov_buffer_desc *iov,
                                  int count);
OM_uint32 message_unwrap_iov(OM_uint32 *minor, struct message *message, int *conf_state,
                             gss_qop_t *qop, gss_iov_buffer_desc *iov, int count);
OM_uint32 message_get_mic_iov(OM_uint32 *minor, struct message *message, gss_qop_t qop,
                              gss_iov_buffer_desc *iov, int count);
OM_uint32 message_get_mic_iov_length(OM_uint32 *minor, struct message *message, gss_qop_t qop,
                                     gss_iov_buffer_desc *iov, int count);
OM_uint32 message_verify_mic_iov(OM_uint32 *minor, struct message *message, gss_qop_t *qop,
                                 gss_iov_buffer_desc *iov, int count);

/* RFC 4401 and 4402: at most 1 MB at once. The full and the partial key are the same one. */
OM_uint32 message_pseudo_random(OM_uint32 *minor, struct message *message, int prf_key,
                                const gss_buffer_desc *input, ssize_t size, gss_buffer_t output);

/*
 * The key, for gss_inquire_sec_context_by_oid: GSS_C_INQ_SSPI_SESSION_KEY (the key, and the object
 * identifier of its encryption type) and the two keys of NegoEx (the key, and the number of its type,
 * little-endian). Others: GSS_S_UNAVAILABLE.
 */
OM_uint32 message_inquire_by_oid(OM_uint32 *minor, struct message *message, gss_const_OID what,
                                 gss_buffer_set_t *values);

/* The sentence for a minor status that these functions set; NULL for others. */
const char *message_words(OM_uint32 minor);

#endif
