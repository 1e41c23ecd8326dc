/*
 * Fibers: functions with a stack of their own, which run until they switch away. AddressSanitizer is told of each
 * switch. A fiber that never ended may be started anew; what it had on its stack is dropped without destructors.
 */
#ifndef QMD_KERNELS_CUDA_FIBER_H
#define QMD_KERNELS_CUDA_FIBER_H

#include <cstddef>

#ifndef __x86_64__
#include <ucontext.h>
#endif

namespace qmdi::host {

class fiber {
  public:
	fiber();
	~fiber();
	fiber(const fiber &) = delete;
	fiber &operator=(const fiber &) = delete;

	/* The next resume() calls function(argument), which must never return: it ends by suspend(), not to be resumed. */
	void start(void (*function)(void *), void *argument);

	/* Run the fiber until it calls suspend(). Called from outside of all fibers, or from another fiber. */
	void resume();

	/* Back to whoever resumed. Called on the fiber itself. */
	void suspend();

  private:
	static void enter();
	void arrive(void *fake_stack);

	unsigned char *memory; /* guard page, then the stack */
	size_t memory_size;
	void (*function)(void *);
	void *argument;
	const void *resumer_stack; /* for AddressSanitizer: the stack that resumed this fiber */
	size_t resumer_stack_size;
	void *fake_stack;
#ifdef __x86_64__
	void *own_pointer; /* stack pointers while not running */
	void *resumer_pointer;
#else
	ucontext_t own_context;
	ucontext_t resumer_context;
#endif
};

} // namespace qmdi::host

#endif
