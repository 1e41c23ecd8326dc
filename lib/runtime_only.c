/* Filled in with the stages it stands in for. */
#include <qmd.h>
