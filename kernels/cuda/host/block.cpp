#include "block.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <new>

namespace qmdi::host {

__thread thread_context *running;

namespace {

thread_local launch_state *active;
thread_local std::string last_error;

constexpr unsigned max_resident = 3;
thread_local block_state kept_blocks[max_resident];

/* What a fiber runs: the kernel, then for ever nothing. */
void run_thread(void *argument) {
	thread_state *thread = static_cast<thread_state *>(argument);
	active->launch.entry->thread(active->launch.params.bytes);
	block_state &block = *thread->block;
	thread->is_done = true;
	--block.n_alive;
	if (block.barrier.n_arrived > 0 && block.barrier.n_arrived == block.n_alive) {
		block.barrier.n_arrived = 0;
		++block.barrier.generation; /* a thread that has returned holds up no barrier */
	}
	thread->stack.suspend();
}

unsigned long long as_number(const void *pointer) {
	return static_cast<unsigned long long>(reinterpret_cast<uintptr_t>(pointer));
}

} // namespace

launch_state::launch_state(const qmdi_cuda_launch &launch_, uint64_t seed, int arch_, qmdi_host_counters *counters)
	: launch(launch_), random(seed), is_shuffled(seed != 0), arch(arch_), log(counters),
	  n_warps(launch.block[0] * launch.block[1] * launch.block[2] / 32) {
	const uint32_t *grid = launch.grid;
	for (unsigned i = grid[0] * grid[1] * grid[2]; i > 0; --i) {
		waiting.push_back({(i - 1) % grid[0], (i - 1) / grid[0] % grid[1], (i - 1) / (grid[0] * grid[1])});
	}
	for (unsigned i = static_cast<unsigned>(waiting.size()); is_shuffled && i > 1; --i) {
		std::swap(waiting[i - 1], waiting[draw(i)]);
	}
}

unsigned launch_state::draw(unsigned n) {
	random = random * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX */
	return static_cast<unsigned>((random >> 32) * n >> 32);
}

void launch_state::fail(const char *format, ...) {
	char text[512];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	const dim3 block = current->context.block;
	char where[128];
	snprintf(where, sizeof where, "%s, block (%u, %u, %u), thread %u: ", launch.entry->name, block.x, block.y, block.z,
			 current->number);
	error = std::string(where) + text;
	for (;;) {
		current->stack.suspend();
	}
}

void launch_state::wait(const gate &gate, const char *what, place where) {
	current->waits_for = &gate;
	current->waits_for_generation = gate.generation;
	current->waits_in = what;
	current->waits_at = where;
	current->stack.suspend();
	current->waits_for = nullptr;
}

void block_state::start(const qmdi_cuda_launch &launch, dim3 index, void (*run)(void *)) {
	const dim3 size = {launch.block[0], launch.block[1], launch.block[2]};
	const dim3 grid = {launch.grid[0], launch.grid[1], launch.grid[2]};
	n_alive = size.x * size.y * size.z;
	warps.assign(n_alive / 32, warp_state());
	barrier = gate();
	/* As large as asked for and no larger, so that AddressSanitizer sees what lies beyond. */
	shared.reset(new unsigned char[launch.shared_bytes]);
	std::fill_n(shared.get(), launch.shared_bytes, static_cast<unsigned char>(QMDI_HOST_POISON));
	for (unsigned i = 0; i < n_alive; ++i) {
		if (i == threads.size()) {
			threads.push_back(std::make_unique<thread_state>());
		}
		thread_state &thread = *threads[i];
		thread.context = {{i % size.x, i / size.x % size.y, i / (size.x * size.y)}, index, size, grid, shared.get()};
		thread.block = this;
		thread.number = i;
		thread.is_done = thread.may_read = false;
		thread.waits_for = nullptr;
		thread.open_copies.clear();
		thread.copy_groups.clear();
		thread.stack.start(run, &thread);
	}
}

/* Each lane that can run runs until it waits. Returns whether any did. */
bool launch_state::run_warp(block_state &block, unsigned warp) {
	const unsigned first = is_shuffled ? draw(32) : 0, step = is_shuffled && draw(2) == 0 ? 31 : 1;
	bool has_run = false;
	for (unsigned i = 0; i < 32 && error.empty(); ++i) {
		thread_state &thread = *block.threads[warp * 32 + (first + i * step) % 32];
		if (thread.is_runnable()) {
			current = &thread;
			running = &thread.context;
			thread.stack.resume();
			has_run = true;
		}
	}
	return has_run;
}

/* Start blocks in the place of those that have ended. Returns whether any is running. */
bool launch_state::fill() {
	const unsigned n = is_shuffled && !log.is_counting() ? max_resident : 1;
	for (unsigned i = 0; i < n; ++i) {
		if (i == resident.size()) {
			resident.push_back(&kept_blocks[i]);
			resident[i]->n_alive = 0;
		}
		if (resident[i]->n_alive == 0) {
			log.close_block();
			if (!waiting.empty()) {
				resident[i]->start(launch, waiting.back(), run_thread);
				waiting.pop_back();
			}
		}
	}
	return std::any_of(resident.begin(), resident.end(), [](const block_state *b) { return b->n_alive > 0; });
}

/* From time to time, other warps are kept from running for a while. */
void launch_state::freeze(size_t n) {
	if (is_shuffled && (n_left_frozen == 0 || is_frozen.size() != n)) {
		is_frozen.resize(n);
		std::generate(is_frozen.begin(), is_frozen.end(), [this] { return draw(2) == 0; });
		n_left_frozen = 1 + draw(1 + draw(100));
	}
}

/* A warp runs on for a while before another is drawn, and some do not run at all: a warp gets far ahead of others as
 * long as nothing holds it. */
void launch_state::run_blocks() {
	unsigned warp = 0, n_idle = 0;
	while (error.empty() && fill()) {
		const unsigned n = n_warps * static_cast<unsigned>(resident.size());
		freeze(n);
		block_state &block = *resident[warp / n_warps];
		if (block.n_alive > 0 && !(is_shuffled && is_frozen[warp]) && run_warp(block, warp % n_warps)) {
			n_idle = 0;
			n_left_frozen -= is_shuffled;
			warp = is_shuffled && draw(16) == 0 ? draw(n) : warp;
			continue;
		}
		/* A full round without anything done frees the frozen, or ends it; a random start must not hide a warp that
		 * could run. */
		warp = is_shuffled && n_idle == 0 ? draw(n) : (warp + 1) % n;
		if (n_idle++ <= n) {
			continue;
		}
		if (std::find(is_frozen.begin(), is_frozen.end(), true) == is_frozen.end()) {
			describe_deadlock();
		}
		std::fill(is_frozen.begin(), is_frozen.end(), false);
		n_idle = 0;
	}
}

void launch_state::describe_deadlock() {
	for (const block_state *block : resident) {
		for (unsigned i = 0; block->n_alive > 0 && i < 32 * n_warps; ++i) {
			const thread_state &thread = *block->threads[i];
			if (!thread.is_done) {
				char text[512];
				snprintf(text, sizeof text, "%s: %u threads wait for ever; thread %u in %s at %s:%u",
						 launch.entry->name, block->n_alive, thread.number, thread.waits_in, thread.waits_at.file,
						 thread.waits_at.line);
				error = text;
				return;
			}
		}
	}
}

bool launch_state::run() {
	run_blocks();
	log.close();
	return error.empty();
}

/* ---- The words of device.h ---- */

void touch(memory kind, const void *pointer, size_t size, place where) {
	if (as_number(pointer) % size != 0) {
		active->fail("%s:%u: an access of %zu bytes at %#llx", where.file, where.line, size, as_number(pointer));
	}
	const size_t offset = reinterpret_cast<uintptr_t>(pointer) - reinterpret_cast<uintptr_t>(running->shared);
	const size_t shared_bytes = active->launch.shared_bytes;
	if (kind == memory::shared && (offset > shared_bytes || size > shared_bytes - offset)) {
		active->fail("%s:%u: an access outside of shared memory", where.file, where.line);
	}
	if ((kind == memory::global_load || kind == memory::global_store) && !active->current->may_read) {
		active->fail("%s:%u: global memory before wait_for_earlier_launches()", where.file, where.line);
	}
	if (active->log.is_counting()) {
		active->log.add(active->current->number, kind, reinterpret_cast<uintptr_t>(pointer), size, where);
	}
}

void wait_for_earlier_launches() {
	active->current->may_read = true;
}

void copy_async(void *shared, const void *global, size_t size, place where) {
	touch(memory::global_load, global, size, where);
	touch(memory::shared, shared, size, where);
	if (active->arch < 80) {
		memcpy(shared, global, size);
		return;
	}
	memset(shared, QMDI_HOST_POISON, size);
	active->current->open_copies.push_back({shared, global, size});
}

void commit_copies() {
	thread_state &thread = *active->current;
	thread.copy_groups.push_back(std::move(thread.open_copies));
	thread.open_copies.clear();
}

void wait_copies(size_t n) {
	auto &groups = active->current->copy_groups;
	while (groups.size() > n) {
		for (const pending_copy &copy : groups.front()) {
			memcpy(copy.shared, copy.global, copy.size);
		}
		groups.erase(groups.begin());
	}
}

/* Take part in a gate as the last of `n`, or note who came first. Returns whether this was the last. */
static bool arrive(gate &gate, unsigned n, const char *what, place where) {
	if (gate.n_arrived == 0) {
		gate.first = where;
		gate.what = what;
	} else if (gate.what != what || gate.first.line != where.line || gate.first.file != where.file) {
		active->fail("in %s at %s:%u while others are in %s at %s:%u", what, where.file, where.line, gate.what,
					 gate.first.file, gate.first.line);
	}
	if (++gate.n_arrived < n) {
		return false;
	}
	gate.n_arrived = 0;
	return true;
}

void sync_block(place where) {
	static const char what[] = "sync_block";
	block_state &block = *active->current->block;
	if (arrive(block.barrier, block.n_alive, what, where)) {
		++block.barrier.generation;
		if (active->log.is_counting()) {
			++active->log.counters->barriers;
		}
	} else {
		active->wait(block.barrier, what, where);
	}
}

/* All lanes bring their words; the last to come computes what each takes. */
template <class Compute>
static exchange &collective(const char *what, place where, const exchange &mine, Compute compute) {
	warp_state &warp = active->current->block->warps[active->current->number / 32];
	exchange(&slots)[32] = warp.slots[warp.collective.generation % 2];
	exchange &slot = slots[lane()];
	slot = mine;
	if (arrive(warp.collective, 32, what, where)) {
		compute(slots);
		++warp.collective.generation;
	} else {
		active->wait(warp.collective, what, where);
	}
	return slot;
}

void sync_warp(place where) {
	static const char what[] = "sync_warp";
	collective(what, where, exchange(), [](exchange(&)[32]) {});
}

uint64_t shuffle(uint64_t value, unsigned from_lane, place where) {
	static const char what[] = "shuffle";
	const exchange mine = {{value, from_lane, 0}, {}};
	const exchange &slot = collective(what, where, mine, [](exchange(&slots)[32]) {
		for (exchange &to : slots) {
			memcpy(to.words_out, &slots[to.words_in[1]].words_in[0], 8);
		}
	});
	uint64_t result;
	memcpy(&result, slot.words_out, 8);
	return result;
}

/* Lane 8m + i brings row i of matrix m; lane j takes the 4 bytes of each matrix at row j / 4, column j % 4. */
void load_matrix(uint32_t *r, const void *row, place where) {
	static const char what[] = "load_matrix_x4";
	touch(memory::shared, row, 16, where);
	const exchange mine = {{reinterpret_cast<uintptr_t>(row), 0, 0}, {}};
	const exchange &slot = collective(what, where, mine, [](exchange(&slots)[32]) {
		for (unsigned j = 0; j < 32; ++j) {
			for (unsigned m = 0; m < 4; ++m) {
				const auto *bytes = reinterpret_cast<const unsigned char *>(slots[8 * m + j / 4].words_in[0]);
				memcpy(&slots[j].words_out[m], bytes + 4 * (j % 4), 4);
			}
		}
	});
	memcpy(r, slot.words_out, sizeof slot.words_out);
}

namespace {

/* Byte `i` of a register, as a number. */
int number(uint32_t bytes, unsigned i, int is_unsigned) {
	const uint32_t byte = bytes >> (8 * i) & 255;
	return is_unsigned ? static_cast<int>(byte) : static_cast<int8_t>(byte);
}

/* d = a b for matrices of m x k and k x n. */
template <unsigned m, unsigned n, unsigned k>
void multiply_matrices(const int (&a)[m][k], const int (&b)[n][k], int32_t (&d)[m][n]) {
	for (unsigned i = 0; i < m; ++i) {
		for (unsigned j = 0; j < n; ++j) {
			int sum = 0;
			for (unsigned l = 0; l < k; ++l) {
				sum += a[i][l] * b[j][l];
			}
			d[i][j] = sum;
		}
	}
}

int32_t add_wrapping(int32_t a, uint32_t b) {
	return static_cast<int32_t>(static_cast<uint32_t>(a) + b);
}

void compute_m16n8k32(exchange (&slots)[32], int is_unsigned) {
	int a[16][32], b[8][32];
	for (unsigned j = 0; j < 32; ++j) {
		uint32_t registers[6];
		memcpy(registers, slots[j].words_in, sizeof registers);
		for (unsigned i = 0; i < 24; ++i) {
			const unsigned r = i / 4, byte = i % 4;
			if (r < 4) {
				a[j / 4 + 8 * (r % 2)][16 * (r / 2) + 4 * (j % 4) + byte] = number(registers[r], byte, is_unsigned);
			} else {
				b[j / 4][16 * (r - 4) + 4 * (j % 4) + byte] = number(registers[r], byte, 0);
			}
		}
	}
	int32_t d[16][8];
	multiply_matrices<16, 8, 32>(a, b, d);
	for (unsigned j = 0; j < 32; ++j) {
		for (unsigned i = 0; i < 4; ++i) {
			slots[j].words_out[i] = static_cast<uint32_t>(d[j / 4 + 8 * (i / 2)][2 * (j % 4) + i % 2]);
		}
	}
}

void compute_m8n8k16(exchange (&slots)[32], int is_unsigned) {
	int a[8][16], b[8][16];
	for (unsigned j = 0; j < 32; ++j) {
		for (unsigned byte = 0; byte < 4; ++byte) {
			a[j / 4][4 * (j % 4) + byte] = number(static_cast<uint32_t>(slots[j].words_in[0]), byte, is_unsigned);
			b[j / 4][4 * (j % 4) + byte] = number(static_cast<uint32_t>(slots[j].words_in[1]), byte, 0);
		}
	}
	int32_t d[8][8];
	multiply_matrices<8, 8, 16>(a, b, d);
	for (unsigned j = 0; j < 32; ++j) {
		for (unsigned i = 0; i < 2; ++i) {
			slots[j].words_out[i] = static_cast<uint32_t>(d[j / 4][2 * (j % 4) + i]);
		}
	}
}

void count_multiplication() {
	if (active->log.is_counting() && lane() == 0) {
		++active->log.counters->multiplications;
	}
}

} // namespace

bool has_m16n8k32() {
	return active->arch >= 80;
}

void multiply(int32_t *c, const uint32_t *a, const uint32_t *b, int is_unsigned, place where) {
	static const char what[] = "multiply_m16n8k32";
	count_multiplication();
	exchange mine{};
	const uint32_t registers[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
	memcpy(mine.words_in, registers, sizeof registers);
	const exchange &slot =
		collective(what, where, mine, [is_unsigned](exchange(&slots)[32]) { compute_m16n8k32(slots, is_unsigned); });
	for (unsigned i = 0; i < 4; ++i) {
		c[i] = add_wrapping(c[i], slot.words_out[i]);
	}
}

void multiply_m8n8k16(int32_t *c, uint32_t a, uint32_t b, int is_unsigned, place where) {
	static const char what[] = "multiply_m8n8k16";
	count_multiplication();
	const exchange mine = {{a, b, 0}, {}};
	const exchange &slot =
		collective(what, where, mine, [is_unsigned](exchange(&slots)[32]) { compute_m8n8k16(slots, is_unsigned); });
	for (unsigned i = 0; i < 2; ++i) {
		c[i] = add_wrapping(c[i], slot.words_out[i]);
	}
}

void count_dot4() {
	if (active->log.is_counting()) {
		++active->log.counters->dot4s;
	}
}

} // namespace qmdi::host

using namespace qmdi::host;

static const char *refusal(const qmdi_cuda_launch *launch) {
	const uint64_t n_threads = static_cast<uint64_t>(launch->block[0]) * launch->block[1] * launch->block[2];
	const uint64_t n_blocks = static_cast<uint64_t>(launch->grid[0]) * launch->grid[1] * launch->grid[2];
	if (n_threads == 0 || n_threads > 1024 || n_threads % 32 != 0) {
		return "a block must have 32 to 1024 threads, a multiple of 32";
	}
	if (n_blocks == 0 || n_blocks > UINT32_MAX || launch->grid[1] > 65535 || launch->grid[2] > 65535) {
		return "a grid has at least one block, and at most 65535 along y and z";
	}
	return launch->shared_bytes > QMDI_HOST_SHARED_MAX ? "too much shared memory" : nullptr;
}

int qmdi_host_launch(const qmdi_cuda_launch *launch, uint64_t seed, int arch, qmdi_host_counters *counters) {
	if (const char *text = refusal(launch)) {
		last_error = std::string(launch->entry->name) + ": " + text;
		return -1;
	}
	try {
		launch_state state(*launch, seed, arch, counters);
		active = &state;
		const bool is_good = state.run();
		active = nullptr;
		last_error = state.error;
		return is_good ? 0 : -1;
	} catch (const std::bad_alloc &) {
		active = nullptr;
		last_error = std::string(launch->entry->name) + ": no memory for its threads";
		return -1;
	}
}

const char *qmdi_host_error(void) {
	return last_error.c_str();
}
