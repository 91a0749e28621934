// Fibers: a stack and a place in a function, changed for another by hand.
//
// `make` prepares a fiber that begins in `main`, which must never return; `change` leaves one where it
// is and goes on with another. On x86-64 that is a dozen instructions, for the registers that a call
// has to keep are few; elsewhere the C library's contexts do it, with a system call each time.
#pragma once
#include <cstddef>
#ifndef __x86_64__
#include <ucontext.h>
#endif

namespace {

constexpr size_t STACK = 128 * 1024;

#ifdef __x86_64__
struct Context { void *sp = nullptr; };
extern "C" void host_switch(void **from, void *to);
asm(R"(
.text
.globl host_switch
.type host_switch, @function
host_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size host_switch, .-host_switch
)");
void make(Context &context, char *stack, void (*main)()) {
    void **top = reinterpret_cast<void **>(stack + STACK);
    *--top = nullptr;  // where `main` would return to: it never does; and the stack's alignment
    *--top = reinterpret_cast<void *>(main);
    for (int i = 0; i < 6; ++i) *--top = nullptr;
    context.sp = top;
}
void change(Context &from, Context &to) { host_switch(&from.sp, to.sp); }
#else
struct Context { ucontext_t it; };
void make(Context &context, char *stack, void (*main)()) {
    getcontext(&context.it);
    context.it.uc_stack.ss_sp = stack;
    context.it.uc_stack.ss_size = STACK;
    context.it.uc_link = nullptr;
    makecontext(&context.it, main, 0);
}
void change(Context &from, Context &to) { swapcontext(&from.it, &to.it); }
#endif

}  // namespace
