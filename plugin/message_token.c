/*
 * One token, whole or in parts (RFC 4121 section 4.2).
 *
 *   wrap  05 04  flags FF  EC EC  RRC RRC  sequence number (8)   body
 *   MIC   04 04  flags FF  FF FF  FF  FF   sequence number (8)   checksum
 *
 * The body of a sealed one is a confounder, the message, EC octets of filler and a copy of the header,
 * all encrypted, and a checksum; of a clear one the message and a checksum of EC octets. It may have
 * been rotated to the right by RRC octets, any number of them; none is what gss_wrap writes.
 */

#include "message_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    SENT_BY_ACCEPTOR = 1,
    SEALED = 2,
    ACCEPTOR_SUBKEY = 4,
    AT_FLAGS = 2,
    AT_FILLER = 3,
    AT_EXTRA_COUNT = 4,
    AT_ROTATION = 6,
    AT_SEQUENCE = 8,
    FILLER = 0xff,
    MIC_COUNT = 0xffff,
};

/* Key usages (RFC 4121 section 2). */
static krb5_keyusage usage(bool by_initiator, bool mic) {
    return (by_initiator ? 24 : 22) + mic;
}

void piece_set(krb5_crypto_iov *piece, krb5_cryptotype type, const void *octets, size_t size) {
    piece->flags = type;
    piece->data.magic = 0;
    piece->data.data = (char *)octets;
    piece->data.length = (unsigned)size;
}

static void put_16(unsigned char *to, size_t number) {
    to[0] = (unsigned char)(number >> 8);
    to[1] = (unsigned char)number;
}

static unsigned get_16(const unsigned char *from) {
    return (unsigned)from[0] << 8 | from[1];
}

unsigned token_filler(const struct message *message, bool sealed) {
    return sealed && message->dce && !message->initiator ? BLOCK_SIZE : 0;
}

size_t token_tail_size(const struct message *message, bool sealed, unsigned filler) {
    return message->enctype->mac_size + (sealed ? filler + HEADER_SIZE : 0u);
}

void token_unrotate(unsigned char *to, const unsigned char *from, size_t size, size_t rotation) {
    if (size == 0)
        return;
    rotation %= size;
    memcpy(to, from + rotation, size - rotation);
    memcpy(to + size - rotation, from, rotation);
}

static OM_uint32 reason_of(krb5_error_code code) {
    switch (code) {
    case 0: return 0;
    case KRB5KRB_AP_ERR_BAD_INTEGRITY: return REASON_INVALID_SIGNATURE;
    case ENOMEM: return REASON_NO_MEMORY;
    default: return REASON_CRYPTO_ERROR;
    }
}

/* Sending */

static void write_header(const struct message *message, enum token_kind kind, unsigned extra_count,
                         unsigned char *header) {
    uint64_t number = message->send;

    header[0] = kind == MIC_TOKEN ? 4 : 5;
    header[1] = 4;
    header[AT_FLAGS] = (unsigned char)((message->initiator ? 0 : SENT_BY_ACCEPTOR) |
                                       (kind == SEALED_TOKEN ? SEALED : 0) |
                                       (message->acceptor_subkey ? ACCEPTOR_SUBKEY : 0));
    header[AT_FILLER] = FILLER;
    put_16(header + AT_EXTRA_COUNT, kind == MIC_TOKEN ? MIC_COUNT : extra_count);
    put_16(header + AT_ROTATION, kind == MIC_TOKEN ? MIC_COUNT : 0);
    for (int i = HEADER_SIZE - 1; i >= AT_SEQUENCE; i--, number >>= 8)
        header[i] = (unsigned char)number;
}

/* Confounder, message, filler and header are encrypted; the checksum follows. */
static void arrange_sealed(const struct message *message, struct token *token) {
    krb5_crypto_iov *behind = token->pieces + 1 + token->count;
    size_t size = token->filler + HEADER_SIZE;

    piece_set(token->pieces, KRB5_CRYPTO_TYPE_HEADER, token->confounder, BLOCK_SIZE);
    piece_set(behind, KRB5_CRYPTO_TYPE_DATA, token->tail, size);
    piece_set(behind + 1, KRB5_CRYPTO_TYPE_TRAILER, token->tail + size, message->enctype->mac_size);
}

/* The checksum covers the message, and behind it the header with EC and RRC as the sender had them. */
static void arrange_clear(const struct message *message, struct token *token,
                          const unsigned char *header) {
    krb5_crypto_iov *behind = token->pieces + 1 + token->count;

    piece_set(token->pieces, KRB5_CRYPTO_TYPE_EMPTY, NULL, 0);
    piece_set(behind, KRB5_CRYPTO_TYPE_SIGN_ONLY, header, HEADER_SIZE);
    piece_set(behind + 1, KRB5_CRYPTO_TYPE_CHECKSUM, token->tail, message->enctype->mac_size);
}

static OM_uint32 seal(struct message *message, struct token *token) {
    memset(token->tail, FILLER, token->filler);
    memcpy(token->tail + token->filler, token->header, HEADER_SIZE);
    arrange_sealed(message, token);
    return reason_of(krb5_k_encrypt_iov(NULL, message->sending.key, usage(message->initiator, false),
                                        NULL, token->pieces, token->count + 3));
}

static OM_uint32 sign(struct message *message, struct token *token, bool mic) {
    arrange_clear(message, token, token->header);
    return reason_of(krb5_k_make_checksum_iov(NULL, message->enctype->checksum, message->sending.key,
                                              usage(message->initiator, mic), token->pieces,
                                              token->count + 3));
}

static OM_uint32 make(struct message *message, enum token_kind kind, struct token *token,
                      size_t rotation) {
    OM_uint32 reason;

    if (message->send_ended)
        return REASON_UNAVAILABLE;
    /* What is protected has RRC as 0, and EC too in a clear token. */
    write_header(message, kind, kind == SEALED_TOKEN ? token->filler : 0, token->header);
    reason = kind == SEALED_TOKEN ? seal(message, token) : sign(message, token, kind == MIC_TOKEN);
    if (reason)
        return reason;
    if (kind == CLEAR_TOKEN)
        put_16(token->header + AT_EXTRA_COUNT, message->enctype->mac_size);
    if (kind != MIC_TOKEN)
        put_16(token->header + AT_ROTATION, rotation);
    message->send_ended = ++message->send == 0;
    return 0;
}

OM_uint32 token_make(struct message *message, enum token_kind kind, struct token *token,
                     size_t rotation) {
    OM_uint32 reason;

    pthread_mutex_lock(&message->sending.lock);
    reason = make(message, kind, token, rotation);
    pthread_mutex_unlock(&message->sending.lock);
    return reason;
}

/* Receiving */

OM_uint32 token_parse(const struct message *message, bool mic, const void *octets, size_t size,
                      struct token_header *header) {
    const unsigned char *from = octets;

    if (size < HEADER_SIZE)
        return REASON_TOKEN_TRUNCATED;
    if (from[0] != (mic ? 4 : 5) || from[1] != 4)
        return REASON_WRONG_TOKEN_ID;
    if (from[AT_FILLER] != FILLER)
        return REASON_BAD_TOKEN_HEADER;
    if (!(from[AT_FLAGS] & SENT_BY_ACCEPTOR) == message->initiator)
        return REASON_BAD_DIRECTION;
    if (!(from[AT_FLAGS] & ACCEPTOR_SUBKEY) == message->acceptor_subkey)
        return REASON_BAD_TOKEN_HEADER;
    header->kind = mic ? MIC_TOKEN : from[AT_FLAGS] & SEALED ? SEALED_TOKEN : CLEAR_TOKEN;
    header->extra_count = get_16(from + AT_EXTRA_COUNT);
    header->rotation = get_16(from + AT_ROTATION);
    header->sequence = 0;
    for (int i = AT_SEQUENCE; i < HEADER_SIZE; i++)
        header->sequence = header->sequence << 8 | from[i];
    if (mic && (from[AT_FLAGS] & SEALED || header->extra_count != MIC_COUNT ||
                header->rotation != MIC_COUNT))
        return REASON_BAD_TOKEN_HEADER;
    return 0;
}

OM_uint32 token_divide(const struct message *message, const struct token_header *header, size_t body,
                       struct token_division *division) {
    size_t mac = message->enctype->mac_size, room;

    if (header->kind == CLEAR_TOKEN) {
        if (header->extra_count != mac)
            return REASON_WRONG_SIZE;
        if (body < mac)
            return REASON_TOKEN_TRUNCATED;
        *division = (struct token_division){0, body - mac, mac};
        return 0;
    }
    if (body < BLOCK_SIZE + mac)
        return REASON_TOKEN_TRUNCATED;
    if (body < BLOCK_SIZE + HEADER_SIZE + mac)
        return REASON_INVALID_SIGNATURE; /* nobody with the key has made it: it has no header inside */
    /* EC is not believed yet. Where the message ends makes no difference to what is decrypted. */
    room = body - BLOCK_SIZE - HEADER_SIZE - mac;
    if (room > header->extra_count)
        room = header->extra_count;
    *division = (struct token_division){BLOCK_SIZE, body - BLOCK_SIZE - HEADER_SIZE - mac - room,
                                        room + HEADER_SIZE + mac};
    return 0;
}

/* The header as it was protected: before the body was rotated. */
static void unrotated_header(const unsigned char *from, unsigned char *header) {
    memcpy(header, from, HEADER_SIZE);
    put_16(header + AT_ROTATION, 0);
}

static OM_uint32 unseal(struct message *message, const struct token_header *header,
                        struct token *token) {
    unsigned char protected[HEADER_SIZE];
    krb5_error_code code;

    arrange_sealed(message, token);
    code = krb5_k_decrypt_iov(NULL, message->receiving.key, usage(!message->initiator, false), NULL,
                              token->pieces, token->count + 3);
    if (code)
        return reason_of(code);
    unrotated_header(token->header, protected);
    /* EC among the rest, or whoever changes it in transit cuts octets off the message. */
    if (memcmp(token->tail + token->filler, protected, HEADER_SIZE) != 0)
        return REASON_INVALID_SIGNATURE;
    return header->extra_count == token->filler ? 0 : REASON_WRONG_SIZE;
}

static OM_uint32 verify(struct message *message, const struct token_header *header,
                        struct token *token) {
    unsigned char protected[HEADER_SIZE];
    krb5_boolean valid = 0;
    krb5_error_code code;

    memcpy(protected, token->header, HEADER_SIZE);
    if (header->kind == CLEAR_TOKEN)
        put_16(protected + AT_EXTRA_COUNT, 0);
    if (header->kind == CLEAR_TOKEN)
        put_16(protected + AT_ROTATION, 0);
    arrange_clear(message, token, protected);
    code = krb5_k_verify_checksum_iov(NULL, message->enctype->checksum, message->receiving.key,
                                      usage(!message->initiator, header->kind == MIC_TOKEN),
                                      token->pieces, token->count + 3, &valid);
    if (code)
        return reason_of(code);
    return valid ? 0 : REASON_INVALID_SIGNATURE;
}

/* What was not confirmed, or came before, is not left for anybody to use. */
static void withhold(struct token *token) {
    for (size_t i = 1; i <= token->count; i++)
        if (token->pieces[i].flags == KRB5_CRYPTO_TYPE_DATA && token->pieces[i].data.length > 0)
            explicit_bzero(token->pieces[i].data.data, token->pieces[i].data.length);
}

OM_uint32 token_check(struct message *message, const struct token_header *header,
                      struct token *token, OM_uint32 *status) {
    OM_uint32 reason;

    pthread_mutex_lock(&message->receiving.lock);
    reason = header->kind == SEALED_TOKEN ? unseal(message, header, token)
                                          : verify(message, header, token);
    /* Only a number that the checksum has confirmed moves the window. */
    *status = reason ? 0 : message_sequence(message, header->sequence);
    pthread_mutex_unlock(&message->receiving.lock);
    if (header->kind != MIC_TOKEN &&
        (reason || *status & (GSS_S_DUPLICATE_TOKEN | GSS_S_OLD_TOKEN)))
        withhold(token);
    return reason;
}

OM_uint32 token_open(struct message *message, const struct token_header *header,
                     const unsigned char *body, size_t size, struct token *token,
                     krb5_crypto_iov *place, gss_buffer_t output, OM_uint32 *status) {
    struct token_division division;
    OM_uint32 reason = token_divide(message, header, size, &division);
    unsigned char *memory;

    if (reason)
        return reason;
    memory = malloc(size); /* of what was received, whatever the header says */
    if (!memory)
        return REASON_NO_MEMORY;
    /* The confounder goes to the end, so that what is given out begins with the message. */
    token_unrotate(memory, body, size, (size_t)header->rotation % size + division.confounder);
    token->tail = memory + division.message;
    token->confounder = token->tail + division.tail;
    token->filler = (unsigned)(division.tail - token_tail_size(message, header->kind == SEALED_TOKEN, 0));
    piece_set(place, KRB5_CRYPTO_TYPE_DATA, memory, division.message);
    reason = token_check(message, header, token, status);
    if (reason || division.message == 0 || *status & (GSS_S_DUPLICATE_TOKEN | GSS_S_OLD_TOKEN)) {
        free(memory);
        return reason;
    }
    output->value = memory;
    output->length = division.message;
    return 0;
}

/* Whole tokens */

static OM_uint32 wrap(struct message *message, bool sealed, const gss_buffer_desc *input,
                      gss_buffer_t output) {
    unsigned filler = token_filler(message, sealed);
    size_t confounder = sealed ? BLOCK_SIZE : 0, tail = token_tail_size(message, sealed, filler);
    size_t size = HEADER_SIZE + confounder + input->length + tail;
    unsigned char *memory, *data;
    krb5_crypto_iov pieces[4];
    struct token token;
    OM_uint32 reason;

    if (input->length > LONGEST_MESSAGE)
        return REASON_INVALID_PARAMETER;
    memory = malloc(size);
    if (!memory)
        return REASON_NO_MEMORY;
    data = memory + HEADER_SIZE + confounder;
    if (input->length > 0)
        memcpy(data, input->value, input->length);
    token = (struct token){memory, memory + HEADER_SIZE, data + input->length, filler, pieces, 1};
    piece_set(&pieces[1], KRB5_CRYPTO_TYPE_DATA, data, input->length);
    reason = token_make(message, sealed ? SEALED_TOKEN : CLEAR_TOKEN, &token, 0);
    if (reason) {
        explicit_bzero(memory, size);
        free(memory);
        return reason;
    }
    output->value = memory;
    output->length = size;
    return 0;
}

static void set_empty(gss_buffer_t output) {
    output->value = NULL;
    output->length = 0;
}

OM_uint32 message_wrap(OM_uint32 *minor, struct message *message, int conf_req, gss_qop_t qop,
                       const gss_buffer_desc *input, int *conf_state, gss_buffer_t output) {
    set_empty(output);
    if (qop != GSS_C_QOP_DEFAULT)
        return message_outcome(minor, 0, GSS_S_BAD_QOP);
    if (conf_state)
        *conf_state = conf_req != 0;
    return message_outcome(minor, wrap(message, conf_req != 0, input, output), GSS_S_COMPLETE);
}

static OM_uint32 unwrap(struct message *message, const gss_buffer_desc *input, gss_buffer_t output,
                        int *conf_state, OM_uint32 *status) {
    unsigned char *octets = input->value;
    struct token_header header;
    krb5_crypto_iov pieces[4];
    struct token token = {.header = octets, .pieces = pieces, .count = 1};
    OM_uint32 reason;

    if (input->length > LONGEST_MESSAGE)
        return REASON_BUFFER_TOO_LONG;
    reason = token_parse(message, false, octets, input->length, &header);
    if (reason)
        return reason;
    if (conf_state)
        *conf_state = header.kind == SEALED_TOKEN;
    return token_open(message, &header, octets + HEADER_SIZE, input->length - HEADER_SIZE, &token,
                      &pieces[1], output, status);
}

OM_uint32 message_unwrap(OM_uint32 *minor, struct message *message, const gss_buffer_desc *input,
                         gss_buffer_t output, int *conf_state, gss_qop_t *qop) {
    OM_uint32 status = 0, reason;

    set_empty(output);
    if (conf_state)
        *conf_state = 0;
    if (qop)
        *qop = GSS_C_QOP_DEFAULT;
    reason = unwrap(message, input, output, conf_state, &status);
    return message_outcome(minor, reason, status);
}

static OM_uint32 get_mic(struct message *message, const gss_buffer_desc *input, gss_buffer_t output) {
    size_t size = HEADER_SIZE + message->enctype->mac_size;
    unsigned char *memory;
    krb5_crypto_iov pieces[4];
    struct token token;
    OM_uint32 reason;

    if (input->length > LONGEST_MESSAGE)
        return REASON_INVALID_PARAMETER;
    memory = malloc(size);
    if (!memory)
        return REASON_NO_MEMORY;
    token = (struct token){memory, NULL, memory + HEADER_SIZE, 0, pieces, 1};
    piece_set(&pieces[1], KRB5_CRYPTO_TYPE_DATA, input->value, input->length);
    reason = token_make(message, MIC_TOKEN, &token, 0);
    if (reason) {
        free(memory);
        return reason;
    }
    output->value = memory;
    output->length = size;
    return 0;
}

OM_uint32 message_get_mic(OM_uint32 *minor, struct message *message, gss_qop_t qop,
                          const gss_buffer_desc *input, gss_buffer_t token) {
    set_empty(token);
    if (qop != GSS_C_QOP_DEFAULT)
        return message_outcome(minor, 0, GSS_S_BAD_QOP);
    return message_outcome(minor, get_mic(message, input, token), GSS_S_COMPLETE);
}

static OM_uint32 verify_mic(struct message *message, const gss_buffer_desc *input,
                            const gss_buffer_desc *received, OM_uint32 *status) {
    unsigned char *octets = received->value;
    struct token_header header;
    krb5_crypto_iov pieces[4];
    struct token token = {octets, NULL, octets + HEADER_SIZE, 0, pieces, 1};
    OM_uint32 reason = token_parse(message, true, octets, received->length, &header);

    if (reason)
        return reason;
    if (received->length != HEADER_SIZE + message->enctype->mac_size)
        return REASON_WRONG_SIZE;
    if (input->length > LONGEST_MESSAGE)
        return REASON_INVALID_PARAMETER;
    piece_set(&pieces[1], KRB5_CRYPTO_TYPE_DATA, input->value, input->length);
    return token_check(message, &header, &token, status);
}

OM_uint32 message_verify_mic(OM_uint32 *minor, struct message *message,
                             const gss_buffer_desc *input, const gss_buffer_desc *token,
                             gss_qop_t *qop) {
    OM_uint32 status = 0, reason = verify_mic(message, input, token, &status);

    if (qop)
        *qop = GSS_C_QOP_DEFAULT;
    return message_outcome(minor, reason, status);
}

OM_uint32 message_wrap_size_limit(OM_uint32 *minor, struct message *message, int conf_req,
                                  gss_qop_t qop, OM_uint32 most_output, OM_uint32 *most_input) {
    bool sealed = conf_req != 0;
    size_t overhead = HEADER_SIZE + (sealed ? BLOCK_SIZE : 0u) +
                      token_tail_size(message, sealed, token_filler(message, sealed));

    *most_input = most_output > overhead ? (OM_uint32)(most_output - overhead) : 0;
    if (*most_input > LONGEST_MESSAGE)
        *most_input = LONGEST_MESSAGE;
    return message_outcome(minor, 0, qop == GSS_C_QOP_DEFAULT ? GSS_S_COMPLETE : GSS_S_BAD_QOP);
}
