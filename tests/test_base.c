#include "support.h"

START_TEST(statuses_have_names_and_meanings) {
	ck_assert_str_eq(qmd_status_name(QMD_OK), "QMD_OK");
	ck_assert_str_eq(qmd_status_name(QMD_ERROR_IO), "QMD_ERROR_IO");
	ck_assert_int_eq(QMD_ERROR_IO, 3);
	ck_assert_str_eq(qmd_status_name(-1), "QMD_ERROR_UNKNOWN");
	ck_assert_str_eq(qmd_status_meaning(QMD_ERROR_MEMORY), "out of memory");
}
END_TEST

int main(void) {
	Suite *suite = suite_create("base");
	TCase *status = tcase_create("status");
	tcase_add_test(status, statuses_have_names_and_meanings);
	suite_add_tcase(suite, status);
	return qmdt_run(suite);
}
