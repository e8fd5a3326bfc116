/*
 * Preloaded, it lets one allocation fail of those that mech_browserid.so asks for, itself or by what it
 * calls, and knows how many of them were not given back.
 *
 * A program that forks sees in `failing_malloc`, which its children share with it, what the last child
 * has come to when it has ended: the module's own memory is free by then.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <execinfo.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { MOST_FRAMES = 24, PLACES = 1 << 16 };

struct failing_malloc {
    int fail_at;      /* which one fails, counted from 1; none if it is 0 */
    atomic_int asked; /* so many were asked for */
    int left;         /* so many were not given back when the process ended */
};

struct failing_malloc *failing_malloc;

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void __libc_free(void *old);

static uintptr_t begins, ends; /* of the module, once it has been loaded */
static atomic_uintptr_t ours[PLACES];
static _Thread_local bool looking;

static int find_module(struct dl_phdr_info *library, size_t size, void *unused) {
    (void)size;
    (void)unused;
    if (!library->dlpi_name || !strstr(library->dlpi_name, "mech_browserid"))
        return 0;
    for (int i = 0; i < library->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &library->dlpi_phdr[i];

        if (part->p_type == PT_LOAD && part->p_flags & PF_X) {
            begins = library->dlpi_addr + part->p_vaddr;
            ends = begins + part->p_memsz;
        }
    }
    return 1;
}

static bool is_for_module(void) {
    void *frames[MOST_FRAMES];
    bool found = false;
    int count;

    if (looking || !failing_malloc)
        return false;
    looking = true;
    if (begins == 0)
        dl_iterate_phdr(find_module, NULL);
    count = begins == 0 ? 0 : backtrace(frames, MOST_FRAMES);
    for (int i = 0; i < count; i++)
        found = found || ((uintptr_t)frames[i] >= begins && (uintptr_t)frames[i] < ends);
    looking = false;
    return found;
}

/* Whether one that is asked for is the module's, and if so whether it fails. */
static bool is_counted(bool *fails) {
    bool counted = is_for_module();

    *fails = counted && atomic_fetch_add(&failing_malloc->asked, 1) + 1 == failing_malloc->fail_at;
    if (*fails)
        errno = ENOMEM;
    return counted;
}

static void *given(void *memory, bool counted) {
    for (size_t i = (uintptr_t)memory >> 4; counted && memory; i++) {
        uintptr_t none = 0;

        if (atomic_compare_exchange_strong(&ours[i % PLACES], &none, (uintptr_t)memory))
            break;
    }
    return memory;
}

/* It is at its place, or at one of those right behind it. */
static void given_back(void *memory) {
    size_t first = (uintptr_t)memory >> 4;

    for (size_t i = first; memory && i < first + 64; i++) {
        uintptr_t one = (uintptr_t)memory;

        if (atomic_compare_exchange_strong(&ours[i % PLACES], &one, 0))
            break;
    }
}

void *malloc(size_t size) {
    bool fails, counted = is_counted(&fails);

    return fails ? NULL : given(__libc_malloc(size), counted);
}

void *calloc(size_t count, size_t size) {
    bool fails, counted = is_counted(&fails);

    return fails ? NULL : given(__libc_calloc(count, size), counted);
}

void *realloc(void *old, size_t size) {
    bool fails, counted = is_counted(&fails);
    void *memory;

    if (fails)
        return NULL;
    given_back(old);
    memory = __libc_realloc(old, size);
    return given(memory ? memory : old, counted);
}

void free(void *old) {
    given_back(old);
    __libc_free(old);
}

__attribute__((constructor)) static void share(void) {
    void *frames[1];

    failing_malloc = mmap(NULL, sizeof *failing_malloc, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    backtrace(frames, 1); /* which loads what it needs */
}

__attribute__((destructor)) static void tell(void) {
    int left = 0;

    for (size_t i = 0; i < PLACES; i++)
        left += ours[i] != 0;
    failing_malloc->left = left;
}
