/*
 * plugin/message.c by itself, for what it does with memory.
 *
 * usage: message_memory all TYPE            every call, with the encryption type, in both directions
 *        message_memory failures TYPE       the same again and again: the first allocation fails, then
 *                                           the second, and so on until one run needs no more
 *        message_memory freed TYPE KEY...   the same, with the key in hexadecimal that is the context's
 *                                           and those that are derived from it: how many allocations
 *                                           were made, and how many were freed with a key in them
 *        message_memory grown TYPE COUNT    so many messages: by how many octets the process has grown
 *        message_memory threads TYPE COUNT  so many from each of two threads, while two others receive
 */

#define _GNU_SOURCE
#include "../../plugin/message.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_KEY = 32, MOST_KEYS = 32, REASON_NO_MEMORY = 2 };

/* Every allocation in the process, the libraries' too. */

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void __libc_free(void *);

static bool watching;
static long allocations, fails_at, living, with_key;
static unsigned char keys[MOST_KEYS][LONGEST_KEY];
static size_t key_sizes[MOST_KEYS];
static int key_count;

static bool may_allocate(void) {
    if (!watching)
        return true;
    return ++allocations != fails_at;
}

static void *note(void *memory) {
    living += watching && memory;
    return memory;
}

void *malloc(size_t size) {
    return may_allocate() ? note(__libc_malloc(size)) : NULL;
}

void *calloc(size_t count, size_t size) {
    return may_allocate() ? note(__libc_calloc(count, size)) : NULL;
}

void *realloc(void *memory, size_t size) {
    if (!memory)
        return malloc(size);
    return may_allocate() ? __libc_realloc(memory, size) : NULL;
}

void free(void *memory) {
    if (watching && memory) {
        living--;
        for (int i = 0; i < key_count; i++)
            if (memmem(memory, malloc_usable_size(memory), keys[i], key_sizes[i])) {
                with_key++;
                break;
            }
    }
    __libc_free(memory);
}

/* Every call */

static const unsigned char root[LONGEST_KEY] = "a key that is of no use to any.";
static int enctype;
static bool out_of_memory;

static void die(const char *what, OM_uint32 major, OM_uint32 minor) {
    watching = false;
    printf("%s: %08x %08x\n", what, (unsigned)major, (unsigned)minor);
    exit(1);
}

/* Good, or for lack of memory; then nothing has happened. */
static bool good(const char *what, OM_uint32 major, OM_uint32 minor) {
    if (major == GSS_S_COMPLETE)
        return true;
    if (!fails_at || major != GSS_S_FAILURE || minor != REASON_NO_MEMORY)
        die(what, major, minor);
    out_of_memory = true;
    return false;
}

static void expect(bool holds, const char *what) {
    if (!holds)
        die(what, 0, 0);
}

static struct message *create(bool initiator, bool dce) {
    struct message_start start = {enctype, initiator, dce, dce, 0, 0};
    struct message *message;
    OM_uint32 minor, major = message_create(&minor, &start, root, sizeof root, &message);

    expect((major == GSS_S_COMPLETE) == (message != NULL), "a context if it went well");
    good("create", major, minor);
    return message;
}

static void whole(struct message *one, struct message *other, bool sealed, size_t size) {
    unsigned char *octets = __libc_calloc(1, size + 1);
    gss_buffer_desc message = {size, octets}, token, opened = {0, NULL};
    OM_uint32 minor, major = message_wrap(&minor, one, sealed, 0, &message, NULL, &token);

    if (good("wrap", major, minor)) {
        major = message_unwrap(&minor, other, &token, &opened, NULL, NULL);
        if (good("unwrap", major & ~GSS_S_GAP_TOKEN, minor))
            expect(opened.length == size && (!size || !memcmp(opened.value, octets, size)), "message");
        gss_release_buffer(&minor, &opened);
    }
    gss_release_buffer(&minor, &token);
    major = message_get_mic(&minor, one, 0, &message, &token);
    if (good("get_mic", major, minor)) {
        major = message_verify_mic(&minor, other, &message, &token, NULL);
        good("verify_mic", major & ~GSS_S_GAP_TOKEN, minor);
    }
    gss_release_buffer(&minor, &token);
    __libc_free(octets);
}

static void in_pieces(struct message *one, struct message *other, bool sealed, bool trailer) {
    enum { COUNT = 20 };
    char octets[COUNT][3];
    gss_iov_buffer_desc iov[COUNT];
    OM_uint32 minor, major;

    memset(octets, 'x', sizeof octets);
    for (int i = 0; i < COUNT; i++)
        iov[i] = (gss_iov_buffer_desc){i % 2 ? GSS_IOV_BUFFER_TYPE_DATA : GSS_IOV_BUFFER_TYPE_SIGN_ONLY,
                                       {3, octets[i]}};
    iov[0] = (gss_iov_buffer_desc){GSS_IOV_BUFFER_TYPE_HEADER | GSS_IOV_BUFFER_FLAG_ALLOCATE, {0, NULL}};
    if (trailer)
        iov[COUNT - 1] = (gss_iov_buffer_desc){
            GSS_IOV_BUFFER_TYPE_TRAILER | GSS_IOV_BUFFER_FLAG_ALLOCATE, {0, NULL}};
    major = message_wrap_iov(&minor, one, sealed, 0, NULL, iov, COUNT);
    if (good("wrap_iov", major, minor)) {
        major = message_unwrap_iov(&minor, other, NULL, NULL, iov, COUNT);
        if (good("unwrap_iov", major & ~GSS_S_GAP_TOKEN, minor))
            expect(octets[1][0] == 'x' && octets[COUNT - 3][2] == 'x', "pieces");
    }
    gss_release_iov_buffer(&minor, iov, COUNT);
    iov[0] = (gss_iov_buffer_desc){GSS_IOV_BUFFER_TYPE_MIC_TOKEN | GSS_IOV_BUFFER_FLAG_ALLOCATE,
                                   {0, NULL}};
    major = message_get_mic_iov(&minor, one, 0, iov, 5);
    if (good("get_mic_iov", major, minor)) {
        major = message_verify_mic_iov(&minor, other, NULL, iov, 5);
        good("verify_mic_iov", major & ~GSS_S_GAP_TOKEN, minor);
    }
    gss_release_iov_buffer(&minor, iov, COUNT);
}

/* A body that lies otherwise than its buffers, and a stream that is turned and copied. */
static void turned(struct message *one, struct message *other, bool sealed) {
    char octets[] = "hello";
    gss_buffer_desc message = {5, octets}, token;
    size_t head = sealed ? 32 : 16;
    OM_uint32 minor, major;

    for (int stream = 0; stream < 2; stream++) {
        unsigned char *body, last;
        size_t size;

        major = message_wrap(&minor, one, sealed, 0, &message, NULL, &token);
        if (!good("wrap", major, minor))
            continue;
        body = (unsigned char *)token.value + 16;
        size = token.length - 16;
        last = body[size - 1];
        memmove(body + 1, body, size - 1);
        body[0] = last;
        body[-9] = 1;
        gss_iov_buffer_desc apart[] = {
            {GSS_IOV_BUFFER_TYPE_HEADER, {head, token.value}},
            {GSS_IOV_BUFFER_TYPE_DATA, {5, (char *)token.value + head}},
            {GSS_IOV_BUFFER_TYPE_TRAILER, {token.length - head - 5, (char *)token.value + head + 5}}};
        gss_iov_buffer_desc together[] = {
            {GSS_IOV_BUFFER_TYPE_STREAM, {token.length, token.value}},
            {GSS_IOV_BUFFER_TYPE_DATA | GSS_IOV_BUFFER_FLAG_ALLOCATE, {0, NULL}}};
        gss_iov_buffer_desc *iov = stream ? together : apart;

        major = message_unwrap_iov(&minor, other, NULL, NULL, iov, stream ? 2 : 3);
        if (good("unwrap_iov", major & ~GSS_S_GAP_TOKEN, minor))
            expect(iov[1].buffer.length == 5 && !memcmp(iov[1].buffer.value, octets, 5), "turned");
        gss_release_iov_buffer(&minor, iov, stream ? 2 : 3);
        gss_release_buffer(&minor, &token);
    }
}

static void derived(struct message *message) {
    static const gss_OID *const identifiers[] = {&GSS_C_INQ_SSPI_SESSION_KEY, &GSS_C_INQ_NEGOEX_KEY};
    gss_buffer_desc what = {8, "what for"}, random;
    OM_uint32 minor, major = message_pseudo_random(&minor, message, 0, &what, 100, &random);

    good("pseudo_random", major, minor);
    gss_release_buffer(&minor, &random);
    for (int i = 0; i < 2; i++) {
        gss_buffer_set_t values;

        major = message_inquire_by_oid(&minor, message, *identifiers[i], &values);
        if (good("inquire", major, minor))
            expect(values->count == 2, "values");
        if (values)
            explicit_bzero(values->elements[0].value, values->elements[0].length);
        gss_release_buffer_set(&minor, &values);
    }
}

static struct message *moved(struct message *message) {
    gss_buffer_desc octets;
    struct message *other = NULL;
    OM_uint32 minor, major = message_export(&minor, message, &octets);

    if (good("export", major, minor)) {
        major = message_import(&minor, octets.value, octets.length, &other);
        good("import", major, minor);
    }
    if (octets.value)
        explicit_bzero(octets.value, octets.length);
    gss_release_buffer(&minor, &octets);
    if (!other)
        return message;
    message_free(message);
    return other;
}

enum { SCENARIOS = 16 };

/* All calls in one kind of context: its bits say which side sends, what, and how. */
static void every_call(int scenario) {
    bool dce = scenario & 8, sealed = scenario & 2;
    struct message *ends[2] = {create(true, dce), create(false, dce)};
    struct message **one = &ends[scenario & 1], *other = ends[!(scenario & 1)];

    if (*one && other) {
        whole(*one, other, sealed, scenario & 4 ? 1000 : 0);
        in_pieces(*one, other, sealed, scenario & 4);
        turned(*one, other, sealed && !dce);
        derived(*one);
        *one = moved(*one);
        whole(*one, other, sealed, 17);
    }
    message_free(ends[0]);
    message_free(ends[1]);
}

static void watch(int scenario, long failing) {
    allocations = living = 0;
    fails_at = failing;
    out_of_memory = false;
    watching = true;
    every_call(scenario);
    watching = false;
    if (living != 0)
        die("memory was lost", (OM_uint32)living, (OM_uint32)failing);
}

static void every_failure(void) {
    long total = 0;

    for (int scenario = 0; scenario < SCENARIOS; scenario++) {
        long count = 0;

        do
            watch(scenario, ++count);
        while (allocations >= count);
        expect(!out_of_memory, "there was enough in the end");
        total += count - 1;
    }
    printf("%ld failures\n", total);
}

static void all(void) {
    long total = 0;

    for (int scenario = 0; scenario < SCENARIOS; scenario++) {
        watch(scenario, 0);
        total += allocations;
    }
    printf("%ld allocations, %ld freed with a key in them\n", total, with_key);
}

static size_t unhex(const char *text, unsigned char *octets) {
    size_t size = strlen(text) / 2;

    for (size_t i = 0; i < size; i++)
        sscanf(text + 2 * i, "%2hhx", &octets[i]);
    return size;
}

static void freed(char **texts) {
    for (; *texts && key_count < MOST_KEYS; key_count++)
        key_sizes[key_count] = unhex(*texts++, keys[key_count]);
    all();
}

static void grown(long count) {
    struct message *one = create(true, false), *other = create(false, false);
    size_t before = 0;

    for (long i = 0; i < count; i++) {
        if (i == count / 10)
            before = mallinfo2().uordblks;
        whole(one, other, i & 1, (size_t)i % 3000);
    }
    printf("%ld octets\n", (long)(mallinfo2().uordblks - before));
    message_free(one);
    message_free(other);
}

/* Two ends; each is sent from by one thread and received at by another. */

static struct message *shared[2];
static long messages_each;
static struct {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    gss_buffer_desc tokens[1000];
    size_t put, taken;
} lines[2] = {{PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, {{0}}, 0, 0},
              {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, {{0}}, 0, 0}};

static void *send_all(void *which) {
    int side = (int)(long)which;
    gss_buffer_desc message = {5, "hello"};
    OM_uint32 minor;

    for (long i = 0; i < messages_each; i++) {
        gss_buffer_desc token;

        good("wrap", message_wrap(&minor, shared[side], 1, 0, &message, NULL, &token), minor);
        pthread_mutex_lock(&lines[side].lock);
        lines[side].tokens[lines[side].put++] = token;
        pthread_cond_signal(&lines[side].filled);
        pthread_mutex_unlock(&lines[side].lock);
    }
    return NULL;
}

static void *receive_all(void *which) {
    int side = (int)(long)which;
    OM_uint32 minor;

    for (long i = 0; i < messages_each; i++) {
        gss_buffer_desc token, opened;

        pthread_mutex_lock(&lines[side].lock);
        while (lines[side].taken == lines[side].put)
            pthread_cond_wait(&lines[side].filled, &lines[side].lock);
        token = lines[side].tokens[lines[side].taken++];
        pthread_mutex_unlock(&lines[side].lock);
        good("unwrap", message_unwrap(&minor, shared[!side], &token, &opened, NULL, NULL), minor);
        gss_release_buffer(&minor, &opened);
        gss_release_buffer(&minor, &token);
    }
    return NULL;
}

static void in_threads(long count) {
    pthread_t threads[4];

    messages_each = count < 1000 ? count : 1000;
    shared[0] = create(true, false);
    shared[1] = create(false, false);
    for (long i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, i & 2 ? receive_all : send_all, (void *)(i & 1));
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    message_free(shared[0]);
    message_free(shared[1]);
    printf("%ld messages\n", 2 * messages_each);
}

int main(int argc, char **argv) {
    const char *what = argc > 2 ? argv[1] : "";

    setvbuf(stdout, NULL, _IONBF, 0);
    enctype = argc > 2 ? atoi(argv[2]) : 0;
    if (strcmp(what, "all") == 0)
        all();
    else if (strcmp(what, "failures") == 0)
        every_failure();
    else if (strcmp(what, "freed") == 0)
        freed(argv + 3);
    else if (strcmp(what, "grown") == 0 && argc > 3)
        grown(atol(argv[3]));
    else if (strcmp(what, "threads") == 0 && argc > 3)
        in_threads(atol(argv[3]));
    else
        return 2;
    return 0;
}
