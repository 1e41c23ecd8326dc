#include "fiber.h"

#include <cstdint>
#include <new>
#include <sys/mman.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace qmdi::host {

namespace {

constexpr size_t stack_size = 128 << 10;

thread_local fiber *entering; /* the fiber whose first resume() is under way */

#ifdef __x86_64__
/* Save the registers that a function must preserve (System V ABI) on this stack, and go on where `to` was left. The
 * floating-point control words are the same for all fibers. */
__attribute__((naked, noinline)) void switch_stacks(void ** /* from */, void * /* to */) {
	asm("pushq %rbp\n\t"
		"pushq %rbx\n\t"
		"pushq %r12\n\t"
		"pushq %r13\n\t"
		"pushq %r14\n\t"
		"pushq %r15\n\t"
		"movq %rsp, (%rdi)\n\t"
		"movq %rsi, %rsp\n\t"
		"popq %r15\n\t"
		"popq %r14\n\t"
		"popq %r13\n\t"
		"popq %r12\n\t"
		"popq %rbx\n\t"
		"popq %rbp\n\t"
		"ret");
}
#endif

size_t page_size() {
	return static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

} // namespace

fiber::fiber()
	: memory(nullptr), memory_size(page_size() + stack_size), function(nullptr), argument(nullptr),
	  resumer_stack(nullptr), resumer_stack_size(0), fake_stack(nullptr) {
	void *mapped =
		mmap(nullptr, memory_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mapped == MAP_FAILED) {
		throw std::bad_alloc();
	}
	mprotect(mapped, page_size(), PROT_NONE);
	memory = static_cast<unsigned char *>(mapped);
}

fiber::~fiber() {
	munmap(memory, memory_size);
}

void fiber::enter() {
	fiber *self = entering;
	self->arrive(nullptr);
	self->function(self->argument);
}

void fiber::start(void (*function_)(void *), void *argument_) {
	function = function_;
	argument = argument_;
	fake_stack = nullptr;
#ifdef __SANITIZE_ADDRESS__
	__asan_unpoison_memory_region(memory + page_size(), stack_size); /* what an abandoned run left */
#endif
#ifdef __x86_64__
	void **top = reinterpret_cast<void **>(memory + memory_size);
	*--top = nullptr; /* where enter() would return to; keeps its frame aligned as after a call */
	*--top = reinterpret_cast<void *>(&fiber::enter);
	for (int i = 0; i < 6; ++i) {
		*--top = nullptr;
	}
	own_pointer = top;
#else
	getcontext(&own_context);
	own_context.uc_stack.ss_sp = memory + page_size();
	own_context.uc_stack.ss_size = stack_size;
	own_context.uc_link = nullptr;
	makecontext(&own_context, &fiber::enter, 0);
#endif
}

void fiber::arrive(void *fake) {
#ifdef __SANITIZE_ADDRESS__
	__sanitizer_finish_switch_fiber(fake, &resumer_stack, &resumer_stack_size);
#else
	(void)fake;
#endif
}

void fiber::resume() {
	entering = this;
#ifdef __SANITIZE_ADDRESS__
	void *fake = nullptr;
	__sanitizer_start_switch_fiber(&fake, memory + page_size(), stack_size);
#endif
#ifdef __x86_64__
	switch_stacks(&resumer_pointer, own_pointer);
#else
	swapcontext(&resumer_context, &own_context);
#endif
#ifdef __SANITIZE_ADDRESS__
	__sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

void fiber::suspend() {
#ifdef __SANITIZE_ADDRESS__
	__sanitizer_start_switch_fiber(&fake_stack, resumer_stack, resumer_stack_size);
#endif
#ifdef __x86_64__
	switch_stacks(&own_pointer, resumer_pointer);
#else
	swapcontext(&own_context, &resumer_context);
#endif
	arrive(fake_stack);
}

} // namespace qmdi::host
