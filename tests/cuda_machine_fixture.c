#include "cuda_machine_fixture.h"

const qmdi_host_machine qmdt_small_gpus = {1, 2, 80, (size_t)256 << 20, 0, 0};

void qmdt_set_machine(const qmdi_host_machine *machine, int refuses) {
	qmdi_host_vendor vendor = QMDI_HOST_VENDOR;
	vendor.refuses = refuses;
	qmdi_host_machine_set(machine);
	qmdi_host_vendor_set(&vendor);
	qmdi_host_set_current(0, NULL);
}

size_t qmdt_fail_each_device_call(qmd_status (*work)(void *argument), void *argument) {
	qmdi_host_machine machine = qmdt_small_gpus;
	size_t n_told = 0;
	for (machine.failing_call = 1;; machine.failing_call++) {
		qmdt_set_machine(&machine, 0);
		n_told += work(argument) != QMD_OK;
		const uint64_t n_calls = qmdi_host_n_calls();
		qmdt_set_machine(&qmdt_small_gpus, 0);
		ck_assert_msg(qmdi_host_n_objects() == 0, "call %zu: %zu objects are left", (size_t)machine.failing_call,
					  qmdi_host_n_objects());
		ck_assert_int_eq(qmdi_host_current_device(), 0);
		if (n_calls < machine.failing_call)
			return n_told;
	}
}
