#include "block.h"

#include <algorithm>
#include <set>

namespace qmdi::host {

namespace {
constexpr uintptr_t sector = 32, n_banks = 32;
}

void access_log::add(unsigned thread, memory kind, uintptr_t address, size_t size, place where) {
	const unsigned occurrence = occurrences[{thread, kind, where.file, where.line}]++;
	groups[{thread / 32, kind, where.file, where.line, occurrence}].push_back({thread % 32, address, size});
}

void access_log::sum_global(memory kind, const std::vector<lane_access> &lanes) {
	const bool is_store = kind == memory::global_store;
	std::set<uintptr_t> sectors;
	uint64_t bytes = 0;
	for (const lane_access &lane : lanes) {
		bytes += lane.size;
		for (uintptr_t s = lane.address / sector; s <= (lane.address + lane.size - 1) / sector; ++s) {
			sectors.insert(s);
		}
	}
	(is_store ? stored : loaded).insert(sectors.begin(), sectors.end());
	(is_store ? counters->store_accesses : counters->load_accesses) += 1;
	(is_store ? counters->store_bytes : counters->load_bytes) += bytes;
	(is_store ? counters->store_sectors : counters->load_sectors) += sectors.size();
}

/* 128 bytes go in one pass: all 32 lanes if they move 4 bytes, else 16 or 8 of them in turn. A pass is repeated as
 * often as one bank holds different words. */
void access_log::sum_shared(std::vector<lane_access> lanes) {
	std::sort(lanes.begin(), lanes.end(), [](const lane_access &a, const lane_access &b) { return a.lane < b.lane; });
	const size_t n_at_once = 128 / std::max<size_t>(lanes[0].size, 4);
	++counters->shared_accesses;
	for (size_t first = 0; first < lanes.size(); first += n_at_once) {
		std::set<uintptr_t> words[n_banks];
		size_t worst = 1;
		for (size_t i = first; i < std::min(lanes.size(), first + n_at_once); ++i) {
			for (uintptr_t w = lanes[i].address / 4; w <= (lanes[i].address + lanes[i].size - 1) / 4; ++w) {
				words[w % n_banks].insert(w);
				worst = std::max(worst, words[w % n_banks].size());
			}
		}
		counters->shared_conflicts += worst - 1;
	}
}

void access_log::close_block() {
	for (const auto &[group, lanes] : groups) {
		const memory kind = std::get<1>(group);
		if (kind == memory::shared) {
			sum_shared(lanes);
		} else {
			sum_global(kind, lanes);
		}
	}
	groups.clear();
	occurrences.clear();
}

void access_log::close() {
	if (is_counting()) {
		counters->distinct_load_sectors += loaded.size();
		counters->distinct_store_sectors += stored.size();
	}
}

} // namespace qmdi::host
