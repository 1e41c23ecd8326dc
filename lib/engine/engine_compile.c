#include <qmd.h>
