/* Valid as C11 and as C++17: loads nothing, links everything it names. */
#include <qmd.h>
#include <stdio.h>
#include <string.h>

int main(void) {
	qmd_engine *engine = NULL;
	const qmd_status status = qmd_engine_load("no-such-file.qme", &engine);
	printf("%s %s: %s\n", qmd_version(), qmd_status_name(status), qmd_last_error());
	qmd_engine_free(engine);
	return status == QMD_ERROR_IO && strstr(qmd_last_error(), "no-such-file.qme") ? 0 : 1;
}
