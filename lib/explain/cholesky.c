#include "explain/cholesky.h"

#include <math.h>
#include <string.h>

size_t qmdi_cholesky_factorize(double *matrix, size_t n, double smallest_pivot) {
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j <= i; j++) {
			double sum = matrix[i * n + j];
			for (size_t k = 0; k < j; k++)
				sum -= matrix[i * n + k] * matrix[j * n + k];
			if (j < i)
				matrix[i * n + j] = sum / matrix[j * n + j];
			else if (sum > smallest_pivot)
				matrix[i * n + i] = sqrt(sum);
			else
				return i;
		}
	return n;
}

void qmdi_cholesky_solve(const double *factor, size_t n, double *x) {
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < i; k++)
			x[i] -= factor[i * n + k] * x[k];
		x[i] /= factor[i * n + i];
	}
	for (size_t i = n; i-- > 0;) {
		for (size_t k = i + 1; k < n; k++)
			x[i] -= factor[k * n + i] * x[k];
		x[i] /= factor[i * n + i];
	}
}

/* The inverse is (L^-1)^T L^-1: the squares of a column of L^-1 add up to a number of its diagonal. */
void qmdi_cholesky_inverse_diagonal(const double *factor, size_t n, double *work, double *diagonal) {
	for (size_t column = 0; column < n; column++) {
		memset(work, 0, n * sizeof *work);
		work[column] = 1;
		diagonal[column] = 0;
		for (size_t i = column; i < n; i++) {
			for (size_t k = column; k < i; k++)
				work[i] -= factor[i * n + k] * work[k];
			work[i] /= factor[i * n + i];
			diagonal[column] += work[i] * work[i];
		}
	}
}
