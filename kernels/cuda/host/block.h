/* Blocks, warps and threads of the host back end, and what counts their accesses. */
#ifndef QMD_KERNELS_CUDA_BLOCK_H
#define QMD_KERNELS_CUDA_BLOCK_H

#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <unordered_set>
#include <vector>

#include "device_host.h"
#include "fiber.h"

namespace qmdi::host {

/* Accesses of a block by warp, instruction and how often each lane has come by: what the lanes did together. */
class access_log {
  public:
	explicit access_log(qmdi_host_counters *counters_) : counters(counters_) {
	}

	bool is_counting() const {
		return counters != nullptr;
	}
	void add(unsigned thread, memory kind, uintptr_t address, size_t size, place where);

	/* The end of a block: sum up what its warps did. */
	void close_block();

	/* The end of the launch. */
	void close();

	qmdi_host_counters *counters;

  private:
	struct lane_access {
		unsigned lane;
		uintptr_t address;
		size_t size;
	};
	using key = std::tuple<unsigned, memory, const char *, unsigned, unsigned>; /* warp, kind, place, occurrence */

	void sum_global(memory kind, const std::vector<lane_access> &lanes);
	void sum_shared(std::vector<lane_access> lanes);

	std::map<std::tuple<unsigned, memory, const char *, unsigned>, unsigned> occurrences; /* by thread */
	std::map<key, std::vector<lane_access>> groups;
	std::unordered_set<uintptr_t> loaded, stored; /* sectors of the whole launch */
};

/* Threads wait until a number changes. */
struct gate {
	unsigned n_arrived = 0, generation = 0;
	place first{}; /* where the first arrived */
	const char *what = nullptr;
};

/* One lane's part in a collective. */
struct exchange {
	uint64_t words_in[3];
	uint32_t words_out[4];
};

struct warp_state {
	gate collective;
	exchange slots[2][32]; /* by the parity of the gate's generation: a lane may be one collective ahead of another */
};

struct pending_copy {
	void *shared;
	const void *global;
	size_t size;
};

struct block_state;

struct thread_state {
	thread_context context;
	fiber stack;
	block_state *block;
	unsigned number; /* in its block */
	bool is_done;
	bool may_read; /* has waited for earlier launches */
	const gate *waits_for;
	unsigned waits_for_generation;
	place waits_at;
	const char *waits_in;
	std::vector<pending_copy> open_copies;
	std::vector<std::vector<pending_copy>> copy_groups;

	bool is_runnable() const {
		return !is_done && (waits_for == nullptr || waits_for->generation != waits_for_generation);
	}
};

/* A block that is running. */
struct block_state {
	std::vector<std::unique_ptr<thread_state>> threads; /* at least as many as the launch has; kept for the next one */
	std::vector<warp_state> warps;
	std::unique_ptr<unsigned char[]> shared;
	gate barrier;
	unsigned n_alive = 0;

	void start(const qmdi_cuda_launch &launch, dim3 index, void (*run)(void *));
};

/* A launch under way: several blocks at a time if it is shuffled, since blocks may see each other's writes, else one.
 */
struct launch_state {
	launch_state(const qmdi_cuda_launch &launch, uint64_t seed, int arch, qmdi_host_counters *counters);

	bool run();
	[[noreturn]] void fail(const char *format, ...) __attribute__((format(printf, 2, 3)));
	void wait(const gate &gate, const char *what, place where);

	const qmdi_cuda_launch &launch;
	uint64_t random;
	bool is_shuffled;
	int arch;
	access_log log;
	thread_state *current = nullptr;
	std::string error;

  private:
	unsigned draw(unsigned n); /* 0 .. n-1, the next of the seed's sequence */
	bool run_warp(block_state &block, unsigned warp);
	void run_blocks();
	void freeze(size_t n);
	bool fill();
	void describe_deadlock();

	unsigned n_warps;          /* of a block */
	std::vector<dim3> waiting; /* blocks not yet started, the last is next */
	std::vector<block_state *> resident;
	std::vector<bool> is_frozen; /* by warp of the resident blocks */
	unsigned n_left_frozen = 0;  /* how long */
};

} // namespace qmdi::host

#endif
