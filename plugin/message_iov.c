/*
 * Tokens in pieces (gssapi_ext.h): HEADER, DATA and SIGN_ONLY in any number, PADDING, TRAILER; or STREAM
 * with one DATA; or MIC_TOKEN. What is protected are the DATA and SIGN_ONLY buffers in their order.
 */

#include "message_state.h"

#include <stdlib.h>
#include <string.h>

enum { FEW = 13, AROUND = 3 }; /* buffers for which no memory is asked for, and what goes around them */

/* The caller's buffers: those there is at most one of, and the message's pieces. */
struct layout {
    gss_iov_buffer_t header, padding, trailer, stream, mic, data; /* the last DATA */
    size_t data_count, data_size, associated_size; /* sizes too large to be are LONGEST_MESSAGE + 1 */
    krb5_crypto_iov few[FEW + AROUND], *pieces;
    size_t count;
};

static void layout_end(struct layout *layout) {
    if (layout->pieces != layout->few)
        free(layout->pieces);
}

/* Where the one buffer of its type is to be noted; NULL for types that there may be several of. */
static gss_iov_buffer_t *single(struct layout *layout, OM_uint32 type) {
    switch (GSS_IOV_BUFFER_TYPE(type)) {
    case GSS_IOV_BUFFER_TYPE_HEADER: return &layout->header;
    case GSS_IOV_BUFFER_TYPE_PADDING: return &layout->padding;
    case GSS_IOV_BUFFER_TYPE_TRAILER: return &layout->trailer;
    case GSS_IOV_BUFFER_TYPE_STREAM: return &layout->stream;
    case GSS_IOV_BUFFER_TYPE_MIC_TOKEN: return &layout->mic;
    default: return NULL;
    }
}

static krb5_cryptotype piece_type(OM_uint32 type) {
    switch (GSS_IOV_BUFFER_TYPE(type)) {
    case GSS_IOV_BUFFER_TYPE_DATA: return KRB5_CRYPTO_TYPE_DATA;
    case GSS_IOV_BUFFER_TYPE_SIGN_ONLY: return KRB5_CRYPTO_TYPE_SIGN_ONLY;
    default: return KRB5_CRYPTO_TYPE_EMPTY;
    }
}

static size_t sum(size_t one, size_t other) {
    return other > LONGEST_MESSAGE - (one > LONGEST_MESSAGE ? LONGEST_MESSAGE : one)
               ? (size_t)LONGEST_MESSAGE + 1
               : one + other;
}

static void layout_add_piece(struct layout *layout, gss_iov_buffer_t buffer, krb5_cryptotype type) {
    size_t *size = type == KRB5_CRYPTO_TYPE_DATA ? &layout->data_size : &layout->associated_size;

    if (type == KRB5_CRYPTO_TYPE_DATA) {
        layout->data = buffer;
        layout->data_count++;
    }
    *size = sum(*size, buffer->buffer.length);
    piece_set(&layout->pieces[++layout->count], type, buffer->buffer.value, buffer->buffer.length);
}

/* False if there is a buffer of this kind already. */
static bool layout_add(struct layout *layout, gss_iov_buffer_t buffer) {
    gss_iov_buffer_t *one = single(layout, buffer->type);
    krb5_cryptotype type = piece_type(buffer->type);

    if (type != KRB5_CRYPTO_TYPE_EMPTY)
        layout_add_piece(layout, buffer, type);
    if (!one)
        return true;
    if (*one)
        return false;
    *one = buffer;
    return true;
}

static OM_uint32 layout_begin(struct layout *layout, gss_iov_buffer_desc *iov, int count) {
    memset(layout, 0, sizeof *layout);
    layout->pieces = layout->few;
    if (count < 1)
        return REASON_INVALID_PARAMETER;
    if (count > FEW) {
        layout->pieces = calloc((size_t)count + AROUND, sizeof *layout->pieces);
        if (!layout->pieces)
            return REASON_NO_MEMORY;
    }
    for (int i = 0; i < count; i++)
        if (!layout_add(layout, &iov[i]))
            return REASON_INVALID_PARAMETER;
    return 0;
}

static bool is_too_long(const struct layout *layout) {
    return sum(layout->data_size, layout->associated_size) > LONGEST_MESSAGE;
}

/* Sending */

/* Sizes that the buffers around a wrapped message have. */
struct sizes { size_t header, trailer; unsigned filler; };

static struct sizes sizes_of(const struct message *message, const struct layout *layout, bool sealed) {
    unsigned filler = token_filler(message, sealed);
    size_t tail = token_tail_size(message, sealed, filler), head = HEADER_SIZE + (sealed ? BLOCK_SIZE : 0u);

    if (!layout->trailer)
        return (struct sizes){head + tail, 0, filler};
    return (struct sizes){head, tail, filler};
}

static OM_uint32 provide(gss_iov_buffer_t buffer, size_t size) {
    if (!buffer)
        return 0;
    if (GSS_IOV_BUFFER_FLAGS(buffer->type) & GSS_IOV_BUFFER_FLAG_ALLOCATE) {
        buffer->buffer.length = 0;
        buffer->buffer.value = malloc(size);
        if (!buffer->buffer.value)
            return REASON_NO_MEMORY;
        buffer->type |= GSS_IOV_BUFFER_FLAG_ALLOCATED;
    } else if (buffer->buffer.length < size || !buffer->buffer.value) {
        return REASON_BUFFER_TOO_SMALL;
    }
    buffer->buffer.length = size;
    return 0;
}

/* Takes back what was provided, after a failure. */
static void take_back(gss_iov_buffer_t buffer) {
    const OM_uint32 provided = GSS_IOV_BUFFER_FLAG_ALLOCATE | GSS_IOV_BUFFER_FLAG_ALLOCATED;

    if (!buffer || (buffer->type & provided) != provided)
        return;
    free(buffer->buffer.value);
    buffer->buffer.value = NULL;
    buffer->buffer.length = 0;
    buffer->type &= ~(OM_uint32)GSS_IOV_BUFFER_FLAG_ALLOCATED;
}

/* No memory is provided for padding: there is none. */
static void empty_padding(struct layout *layout) {
    if (layout->padding)
        layout->padding->buffer.length = 0;
}

static OM_uint32 wrap_pieces(struct message *message, struct layout *layout, bool sealed) {
    struct sizes sizes = sizes_of(message, layout, sealed);
    unsigned char *header = layout->header->buffer.value;
    unsigned char *behind = header + HEADER_SIZE;
    struct token token = {header, behind, behind, sizes.filler, layout->pieces, layout->count};
    size_t rotation = 0;

    empty_padding(layout);
    if (layout->trailer) {
        token.tail = layout->trailer->buffer.value;
    } else {
        /* The tail comes before the rest of the body: a rotation by its size. */
        rotation = token_tail_size(message, sealed, sizes.filler);
        token.confounder = behind + rotation;
    }
    return token_make(message, sealed ? SEALED_TOKEN : CLEAR_TOKEN, &token, rotation);
}

static OM_uint32 wrap_iov(struct message *message, struct layout *layout, bool sealed) {
    struct sizes sizes = sizes_of(message, layout, sealed);
    OM_uint32 reason = provide(layout->header, sizes.header);

    if (!reason)
        reason = provide(layout->trailer, sizes.trailer);
    if (!reason)
        reason = wrap_pieces(message, layout, sealed);
    if (reason) {
        take_back(layout->header);
        take_back(layout->trailer);
    }
    return reason;
}

/* Lengths alone: there may be no memory behind the buffers. */
static OM_uint32 set_lengths(struct message *message, struct layout *layout, bool sealed) {
    struct sizes sizes = sizes_of(message, layout, sealed);

    layout->header->buffer.length = sizes.header;
    empty_padding(layout);
    if (layout->trailer)
        layout->trailer->buffer.length = sizes.trailer;
    return 0;
}

/* What wraps, or says how much room that takes: both take the same buffers. */
typedef OM_uint32 wrap_step(struct message *message, struct layout *layout, bool sealed);

static OM_uint32 with_layout(wrap_step *step, OM_uint32 *minor, struct message *message, int conf_req,
                             gss_qop_t qop, int *conf_state, gss_iov_buffer_desc *iov, int count) {
    struct layout layout;
    OM_uint32 reason;

    if (qop != GSS_C_QOP_DEFAULT)
        return message_outcome(minor, 0, GSS_S_BAD_QOP);
    if (conf_state)
        *conf_state = conf_req != 0;
    reason = layout_begin(&layout, iov, count);
    if (!reason && (!layout.header || layout.stream || layout.mic || is_too_long(&layout)))
        reason = REASON_INVALID_PARAMETER;
    if (!reason)
        reason = step(message, &layout, conf_req != 0);
    layout_end(&layout);
    return message_outcome(minor, reason, GSS_S_COMPLETE);
}

OM_uint32 message_wrap_iov(OM_uint32 *minor, struct message *message, int conf_req, gss_qop_t qop,
                           int *conf_state, gss_iov_buffer_desc *iov, int count) {
    return with_layout(wrap_iov, minor, message, conf_req, qop, conf_state, iov, count);
}

OM_uint32 message_wrap_iov_length(OM_uint32 *minor, struct message *message, int conf_req,
                                  gss_qop_t qop, int *conf_state, gss_iov_buffer_desc *iov,
                                  int count) {
    return with_layout(set_lengths, minor, message, conf_req, qop, conf_state, iov, count);
}

/* Receiving in place */

/* The octets of a token's body in the order in which the pieces lie. */
struct order { krb5_crypto_iov *parts; size_t count; };

static void gather(unsigned char *to, const struct order *order) {
    for (size_t i = 0; i < order->count; i++)
        if (order->parts[i].flags == KRB5_CRYPTO_TYPE_DATA && order->parts[i].data.length > 0) {
            memcpy(to, order->parts[i].data.data, order->parts[i].data.length);
            to += order->parts[i].data.length;
        }
}

static void scatter(const struct order *order, const unsigned char *from) {
    for (size_t i = 0; i < order->count; i++)
        if (order->parts[i].flags == KRB5_CRYPTO_TYPE_DATA && order->parts[i].data.length > 0) {
            memcpy(order->parts[i].data.data, from, order->parts[i].data.length);
            from += order->parts[i].data.length;
        }
}

/*
 * Rotates a body that lies in the buffers otherwise than they are laid out for: as it came it goes from
 * HEADER over DATA to TRAILER, and then each part of it to its place.
 */
static OM_uint32 rearrange(struct token *token, const struct layout *layout, size_t size, size_t tail,
                           size_t rotation) {
    size_t confounder = size - layout->data_size - tail, last = token->count + 1;
    unsigned char *body = malloc(size), *unrotated = malloc(size);
    struct order order = {token->pieces, token->count + 2};

    if (body && unrotated) {
        piece_set(token->pieces, KRB5_CRYPTO_TYPE_DATA, token->header + HEADER_SIZE,
                  layout->header->buffer.length - HEADER_SIZE);
        piece_set(token->pieces + last, KRB5_CRYPTO_TYPE_DATA, token->tail, layout->trailer ? tail : 0);
        gather(body, &order);
        token_unrotate(unrotated, body, size, rotation);
        piece_set(token->pieces, KRB5_CRYPTO_TYPE_DATA, token->confounder, confounder);
        piece_set(token->pieces + last, KRB5_CRYPTO_TYPE_DATA, token->tail, tail);
        scatter(&order, unrotated);
    }
    free(body);
    free(unrotated);
    return body && unrotated ? 0 : REASON_NO_MEMORY;
}

/* Whether the body lies as the buffers are laid out. */
static bool is_in_place(const struct message *message, const struct token_header *header,
                        const struct layout *layout, size_t size, size_t tail) {
    size_t usual = layout->trailer ? 0 : tail;

    /* Windows, and MIT Kerberos after it, in DCE style rotates by EC more than RRC says. */
    if (message->dce && !layout->trailer && header->kind == SEALED_TOKEN &&
        header->rotation + header->extra_count == tail)
        return true;
    return header->rotation % size == usual % size;
}

static OM_uint32 open_in_place(struct message *message, const struct token_header *header,
                               struct layout *layout, OM_uint32 *status) {
    bool sealed = header->kind == SEALED_TOKEN;
    size_t confounder = sealed ? BLOCK_SIZE : 0, size;
    size_t tail = token_tail_size(message, sealed, header->extra_count);
    unsigned char *octets = layout->header->buffer.value, *end = octets + layout->header->buffer.length;
    struct token token = {.header = octets, .pieces = layout->pieces, .count = layout->count};
    OM_uint32 reason = 0;

    if (!sealed && header->extra_count != message->enctype->mac_size)
        return REASON_WRONG_SIZE;
    if (layout->header->buffer.length != HEADER_SIZE + confounder + (layout->trailer ? 0 : tail) ||
        (layout->trailer && layout->trailer->buffer.length != tail))
        return REASON_WRONG_SIZE;
    token.confounder = end - confounder;
    token.tail = layout->trailer ? layout->trailer->buffer.value : octets + HEADER_SIZE;
    token.filler = sealed ? header->extra_count : 0;
    size = confounder + layout->data_size + tail;
    if (!is_in_place(message, header, layout, size, tail))
        reason = rearrange(&token, layout, size, tail, header->rotation);
    return reason ? reason : token_check(message, header, &token, status);
}

static OM_uint32 unwrap_parts(struct message *message, struct layout *layout, int *conf_state,
                              OM_uint32 *status) {
    struct token_header header;
    OM_uint32 reason;

    if (!layout->header || layout->mic || is_too_long(layout) ||
        (layout->padding && layout->padding->buffer.length > 0))
        return REASON_INVALID_PARAMETER;
    reason = token_parse(message, false, layout->header->buffer.value, layout->header->buffer.length,
                         &header);
    if (reason)
        return reason;
    if (conf_state)
        *conf_state = header.kind == SEALED_TOKEN;
    return open_in_place(message, &header, layout, status);
}

/* Receiving a stream */

static void reverse(unsigned char *octets, size_t size) {
    for (size_t i = 0; i < size / 2; i++) {
        unsigned char octet = octets[i];

        octets[i] = octets[size - 1 - i];
        octets[size - 1 - i] = octet;
    }
}

static void unrotate_in_place(unsigned char *octets, size_t size, size_t rotation) {
    rotation %= size;
    if (rotation == 0)
        return;
    reverse(octets, rotation);
    reverse(octets + rotation, size - rotation);
    reverse(octets, size);
}

/* The piece that stands for the one DATA buffer. */
static krb5_crypto_iov *data_place(struct layout *layout) {
    size_t i = 1;

    while (layout->pieces[i].flags != KRB5_CRYPTO_TYPE_DATA)
        i++;
    return &layout->pieces[i];
}

static OM_uint32 stream_in_place(struct message *message, struct token_header *header,
                                 unsigned char *body, size_t size, struct token *token,
                                 struct layout *layout, OM_uint32 *status) {
    gss_buffer_t data = &layout->data->buffer;
    struct token_division division;
    OM_uint32 reason = token_divide(message, header, size, &division);

    if (reason)
        return reason;
    unrotate_in_place(body, size, header->rotation);
    token->confounder = body;
    token->tail = body + division.confounder + division.message;
    token->filler = (unsigned)(division.tail - token_tail_size(message, header->kind == SEALED_TOKEN, 0));
    piece_set(data_place(layout), KRB5_CRYPTO_TYPE_DATA, body + division.confounder, division.message);
    reason = token_check(message, header, token, status);
    if (reason || *status & (GSS_S_DUPLICATE_TOKEN | GSS_S_OLD_TOKEN))
        return reason;
    data->value = body + division.confounder;
    data->length = division.message;
    return 0;
}

static OM_uint32 unwrap_stream(struct message *message, struct layout *layout, int *conf_state,
                               OM_uint32 *status) {
    unsigned char *octets = layout->stream->buffer.value;
    size_t size = layout->stream->buffer.length;
    struct token token = {.header = octets, .pieces = layout->pieces, .count = layout->count};
    struct token_header header;
    OM_uint32 reason;
    bool allocate;

    if (layout->data_count != 1 || layout->header || layout->trailer || layout->padding || layout->mic ||
        layout->associated_size > LONGEST_MESSAGE)
        return REASON_INVALID_PARAMETER;
    if (size > LONGEST_MESSAGE)
        return REASON_BUFFER_TOO_LONG;
    reason = token_parse(message, false, octets, size, &header);
    if (reason)
        return reason;
    if (conf_state)
        *conf_state = header.kind == SEALED_TOKEN;
    allocate = GSS_IOV_BUFFER_FLAGS(layout->data->type) & GSS_IOV_BUFFER_FLAG_ALLOCATE;
    layout->data->buffer.value = NULL;
    layout->data->buffer.length = 0;
    if (!allocate)
        return stream_in_place(message, &header, octets + HEADER_SIZE, size - HEADER_SIZE, &token, layout,
                               status);
    reason = token_open(message, &header, octets + HEADER_SIZE, size - HEADER_SIZE, &token,
                        data_place(layout), &layout->data->buffer, status);
    if (layout->data->buffer.value)
        layout->data->type |= GSS_IOV_BUFFER_FLAG_ALLOCATED;
    return reason;
}

OM_uint32 message_unwrap_iov(OM_uint32 *minor, struct message *message, int *conf_state,
                             gss_qop_t *qop, gss_iov_buffer_desc *iov, int count) {
    struct layout layout;
    OM_uint32 reason, status = 0;

    if (conf_state)
        *conf_state = 0;
    if (qop)
        *qop = GSS_C_QOP_DEFAULT;
    reason = layout_begin(&layout, iov, count);
    if (!reason)
        reason = layout.stream ? unwrap_stream(message, &layout, conf_state, &status)
                               : unwrap_parts(message, &layout, conf_state, &status);
    layout_end(&layout);
    return message_outcome(minor, reason, status);
}

/* Checksums of what travels by other means */

/* HEADER, TRAILER and PADDING say nothing here, and are left alone. */
static OM_uint32 get_mic_iov(struct message *message, struct layout *layout) {
    struct token token = {.pieces = layout->pieces, .count = layout->count};
    OM_uint32 reason;

    if (!layout->mic || layout->stream || is_too_long(layout))
        return REASON_INVALID_PARAMETER;
    reason = provide(layout->mic, HEADER_SIZE + message->enctype->mac_size);
    if (reason)
        return reason;
    token.header = layout->mic->buffer.value;
    token.tail = token.header + HEADER_SIZE;
    reason = token_make(message, MIC_TOKEN, &token, 0);
    if (reason)
        take_back(layout->mic);
    return reason;
}

OM_uint32 message_get_mic_iov(OM_uint32 *minor, struct message *message, gss_qop_t qop,
                              gss_iov_buffer_desc *iov, int count) {
    struct layout layout;
    OM_uint32 reason;

    if (qop != GSS_C_QOP_DEFAULT)
        return message_outcome(minor, 0, GSS_S_BAD_QOP);
    reason = layout_begin(&layout, iov, count);
    if (!reason)
        reason = get_mic_iov(message, &layout);
    layout_end(&layout);
    return message_outcome(minor, reason, GSS_S_COMPLETE);
}

OM_uint32 message_get_mic_iov_length(OM_uint32 *minor, struct message *message, gss_qop_t qop,
                                     gss_iov_buffer_desc *iov, int count) {
    struct layout layout;
    OM_uint32 reason;

    if (qop != GSS_C_QOP_DEFAULT)
        return message_outcome(minor, 0, GSS_S_BAD_QOP);
    reason = layout_begin(&layout, iov, count);
    if (!reason && (!layout.mic || layout.stream))
        reason = REASON_INVALID_PARAMETER;
    if (!reason)
        layout.mic->buffer.length = HEADER_SIZE + message->enctype->mac_size;
    layout_end(&layout);
    return message_outcome(minor, reason, GSS_S_COMPLETE);
}

static OM_uint32 verify_mic_iov(struct message *message, struct layout *layout, OM_uint32 *status) {
    struct token token = {.pieces = layout->pieces, .count = layout->count};
    struct token_header header;
    OM_uint32 reason;

    if (!layout->mic || layout->stream || is_too_long(layout))
        return REASON_INVALID_PARAMETER;
    token.header = layout->mic->buffer.value;
    reason = token_parse(message, true, token.header, layout->mic->buffer.length, &header);
    if (reason)
        return reason;
    if (layout->mic->buffer.length != HEADER_SIZE + message->enctype->mac_size)
        return REASON_WRONG_SIZE;
    token.tail = token.header + HEADER_SIZE;
    return token_check(message, &header, &token, status);
}

OM_uint32 message_verify_mic_iov(OM_uint32 *minor, struct message *message, gss_qop_t *qop,
                                 gss_iov_buffer_desc *iov, int count) {
    struct layout layout;
    OM_uint32 reason, status = 0;

    if (qop)
        *qop = GSS_C_QOP_DEFAULT;
    reason = layout_begin(&layout, iov, count);
    if (!reason)
        reason = verify_mic_iov(message, &layout, &status);
    layout_end(&layout);
    return message_outcome(minor, reason, status);
}
