/* The Python interpreter inside a program that knows nothing of Python. */

#ifndef BROWSERID_INTERPRETER_H
#define BROWSERID_INTERPRETER_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <signal.h>
#include <stdbool.h>

/* What a thread holds between python_enter() and python_leave(). */
struct python_section {
    PyGILState_STATE gil;
    sigset_t signals;
    bool sigpipe_was_pending;
};

/*
 * Start the interpreter unless it runs already, take its lock, and return the module
 * browserid_sasl.cyrus (a borrowed reference). On failure nothing is held, NULL is returned and
 * `why` has a sentence on what is wrong and what to do. Every call tries again, so that a program
 * recovers when the cause is gone. Any thread may call it.
 */
PyObject *python_enter(struct python_section *section, char *why, size_t size);

/* Give the lock back. No Python object may be touched afterwards. */
void python_leave(struct python_section *section);

#endif
