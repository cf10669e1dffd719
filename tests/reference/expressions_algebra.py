"""Reference expressions: products, linear algebra, Fourier transforms and special functions."""

from __future__ import annotations

from typing import Any

import numpy as np
from samples import BATCH, CUBE, LONG, MATRICES, POSITIVE, SPD, SQUARE, Expression, M, N, W, X, Y, Z, of, spd, waves

REGULAR = SQUARE + 2 * np.eye(3)
TALL = waves(5, 3, phase=10.0)
SPDS = np.stack([spd(3), spd(3, phase=1.0)])


def symmetric(xp: Any, a: Any) -> Any:
    return (a + xp.swapaxes(a, -1, -2)) / 2


PRODUCTS: dict[str, Expression] = {
    "dot of vectors": of(lambda xp, x, y: xp.dot(x, y) ** 2, X, Y),
    "dot of matrices": of(lambda xp, m, n: xp.dot(m, n) ** 2, M, N),
    "dot of many axes": of(lambda xp, b, n: xp.dot(b, n) ** 2, BATCH, N),
    "matmul of batches": of(lambda xp, b, c: xp.matmul(b, xp.swapaxes(c, 1, 2)) ** 2, BATCH, waves(5, 4, 3)),
    "matmul broadcast": of(lambda xp, b, c: xp.matmul(b[:, None], c) ** 2, BATCH, waves(2, 3, 2)),
    "vdot": of(lambda xp, m, n: xp.vdot(m, n) ** 2, N, W.T.copy()),
    "inner": of(lambda xp, m, w: xp.inner(m, w) ** 2, M, W),
    "inner of vectors": of(lambda xp, x, y: xp.inner(x, y) ** 2, X, Y),
    "outer": of(lambda xp, x, z: xp.outer(x, z) ** 2, X, Z),
    "outer of matrices": of(lambda xp, w, x: xp.outer(w, x) ** 2, W, X),
    "tensordot": of(lambda xp, c, m: xp.tensordot(c, m, axes=([2, 1], [0, 1])) ** 2, CUBE, M),
    "tensordot, one axis": of(lambda xp, m, n: xp.tensordot(m, n, axes=1) ** 2, M, N),
    "tensordot, outer": of(lambda xp, x, z: xp.tensordot(x, z, axes=0) ** 2, X, Z),
    "einsum, product": of(lambda xp, m, n: xp.einsum("ij,jk->ik", m, n) ** 2, M, N),
    "einsum, implicit": of(lambda xp, m, n: xp.einsum("ij,jk", m, n) ** 2, M, N),
    "einsum, trace": of(lambda xp, s: xp.einsum("ii", s @ s), SQUARE),
    "einsum, diagonal": of(lambda xp, s: xp.einsum("ii->i", s) ** 2, SQUARE),
    "einsum, sum": of(lambda xp, c: xp.einsum("ijk->j", c) ** 2, CUBE),
    "einsum, transpose": of(lambda xp, c: xp.einsum("ijk->kji", c) ** 2, CUBE),
    "einsum, ellipsis": of(lambda xp, b, n: xp.einsum("...ij,jk->...ik", b, n) ** 2, BATCH, N),
    "einsum, batches": of(lambda xp, b, c: xp.einsum("bij,bkj->bik", b, c) ** 2, BATCH, waves(5, 4, 3)),
    "einsum, bilinear": of(lambda xp, x, s, y: xp.einsum("i,ij,j->", x, s, y), X, SQUARE, Y),
    "einsum, repeated in two": of(lambda xp, s, x: xp.einsum("ii,i->i", s, x) ** 2, SQUARE, X),
    "cross": of(lambda xp, x, y: xp.cross(x, y) ** 2, X, Y),
    "cross of rows": of(lambda xp, m, x: xp.cross(m, x) ** 2, M, X),
    "multi_dot": of(lambda xp, m, n, w: xp.linalg.multi_dot([m, n, w]), M, N, W),
    "matrix_power": of(lambda xp, s: xp.linalg.matrix_power(s, 3), SQUARE),
    "matrix_power, inverse": of(lambda xp, s: xp.linalg.matrix_power(s, -2), REGULAR),
    "matrix_power, 5": of(lambda xp, s: xp.linalg.matrix_power(s, 5), SQUARE),
}

LINALG: dict[str, Expression] = {
    "inv": of(lambda xp, s: xp.linalg.inv(s), REGULAR),
    "inv, batched": of(lambda xp, s: xp.linalg.inv(s), MATRICES),
    "pinv, tall": of(lambda xp, m: xp.linalg.pinv(m), TALL),
    "pinv, wide": of(lambda xp, m: xp.linalg.pinv(m.T), TALL),
    "det": of(lambda xp, s: xp.linalg.det(s), REGULAR),
    "det, batched": of(lambda xp, s: xp.linalg.det(s), MATRICES),
    "slogdet": of(lambda xp, s: xp.linalg.slogdet(s)[1], REGULAR),
    "slogdet, batched": of(lambda xp, s: xp.linalg.slogdet(s)[1] ** 2, MATRICES),
    "solve, vector": of(lambda xp, s, x: xp.linalg.solve(s, x), REGULAR, X),
    "solve, matrix": of(lambda xp, s, n: xp.linalg.solve(s, n), REGULAR, N),
    "solve, batched": of(lambda xp, s, n: xp.linalg.solve(s, n), MATRICES, waves(2, 3, 2)),
    "lstsq": of(lambda xp, m, y: xp.linalg.lstsq(m, y)[0], TALL, waves(5)),
    "lstsq, matrix": of(lambda xp, m, y: xp.linalg.lstsq(m, y)[0], TALL, waves(5, 2)),
    "cholesky": of(lambda xp, s: xp.linalg.cholesky(s @ s.T + xp.eye(3)), SQUARE),
    "cholesky, batched": of(lambda xp, s: xp.linalg.cholesky(s @ xp.swapaxes(s, -1, -2)), MATRICES),
    "cholesky of a symmetric part": of(lambda xp, s: xp.linalg.cholesky(symmetric(xp, s)), SPD),
    "qr, r": of(lambda xp, s: xp.linalg.qr(s)[1] ** 2, REGULAR),
    "qr, q": of(lambda xp, s: xp.linalg.qr(s)[0] ** 2, REGULAR),
    "qr, tall": of(lambda xp, m: tuple(part**2 for part in xp.linalg.qr(m)), TALL),
    "eigvalsh": of(lambda xp, s: xp.linalg.eigvalsh(symmetric(xp, s)) ** 2, SPD),
    "eigvalsh, batched": of(lambda xp, s: xp.linalg.eigvalsh(symmetric(xp, s)) ** 2, SPDS),
    "eigh, vectors": of(lambda xp, s: xp.linalg.eigh(symmetric(xp, s))[1] ** 2, SPD),
    "eigh, logarithm of a matrix": of(
        lambda xp, s: (lambda w, v: (v * xp.log(w)) @ v.T)(*xp.linalg.eigh(symmetric(xp, s))), SPD
    ),
    "eigvals, squared moduli": of(lambda xp, s: xp.sum(xp.abs(xp.linalg.eigvals(s)) ** 4), SPD + 0.2 * SQUARE),
    "eig, trace of a power": of(lambda xp, s: xp.sum(xp.real(xp.linalg.eig(s)[0] ** 3)), SPD + 0.2 * SQUARE),
    "svd, values": of(lambda xp, m: xp.linalg.svd(m, compute_uv=False) ** 2, TALL),
    "svd, values of a square": of(lambda xp, s: xp.linalg.svd(s, compute_uv=False), REGULAR),
    "svd, vectors": of(lambda xp, s: xp.linalg.svd(s)[0] ** 2 + xp.linalg.svd(s)[2] ** 2, REGULAR),
    "svd, thin": of(lambda xp, m: xp.linalg.svd(m, full_matrices=False)[0] ** 2, TALL),
    "svd, batched": of(lambda xp, m: xp.linalg.svd(m, compute_uv=False), MATRICES),
    "norm, Frobenius": of(lambda xp, m: xp.linalg.norm(m), M),
    "norm, nuclear": of(lambda xp, m: xp.linalg.norm(m, "nuc"), M),
    "norm, 2 of a matrix": of(lambda xp, m: xp.linalg.norm(m, 2), M),
    "norm, -2 of a matrix": of(lambda xp, m: xp.linalg.norm(m, -2), M),
    "norm, 1 of a matrix": of(lambda xp, m: xp.linalg.norm(m, 1), M),
    "norm, inf of a matrix": of(lambda xp, m: xp.linalg.norm(m, np.inf), M),
    "norm, 1 of a vector": of(lambda xp, x: xp.linalg.norm(x, 1), X),
    "norm, 3 of a vector": of(lambda xp, x: xp.linalg.norm(x, 3), X),
    "norm, inf of a vector": of(lambda xp, x: xp.linalg.norm(x, np.inf), X),
    "norm, -inf of a vector": of(lambda xp, x: xp.linalg.norm(x, -np.inf), X),
    "norm, -1 of a vector": of(lambda xp, x: xp.linalg.norm(x, -1), X),
    "norm, matrices of a batch": of(lambda xp, b: xp.linalg.norm(b, axis=(1, 2), keepdims=True), BATCH),
    "norm, 2 of rows": of(lambda xp, m: xp.linalg.norm(m, 2, axis=-1, keepdims=True), M),
    "log-density by Cholesky": of(
        lambda xp, s, x: (
            lambda factor: -xp.sum(xp.linalg.solve(factor, x) ** 2) / 2 - xp.sum(xp.log(xp.diag(factor)))
        )(xp.linalg.cholesky(symmetric(xp, s))),
        SPD, X,
    ),
}  # fmt: skip

FFT: dict[str, Expression] = {
    "fft": of(lambda xp, x: xp.fft.fft(x), LONG),
    "fft, shorter": of(lambda xp, x: xp.fft.fft(x, n=5), LONG),
    "fft, longer": of(lambda xp, x: xp.fft.fft(x, n=11), LONG),
    "fft, an axis": of(lambda xp, m: xp.fft.fft(m, axis=0), M),
    "fft, orthonormal": of(lambda xp, x: xp.fft.fft(x, norm="ortho"), LONG),
    "power spectrum": of(lambda xp, x: xp.abs(xp.fft.fft(x)) ** 2, LONG),
    "fft, there and back": of(lambda xp, x: xp.real(xp.fft.ifft(xp.fft.fft(x) ** 2)), LONG),
    "ifft": of(lambda xp, x: xp.fft.ifft(x), LONG),
    "rfft": of(lambda xp, x: xp.fft.rfft(x), LONG),
    "rfft, odd": of(lambda xp, x: xp.fft.rfft(x[:7]), LONG),
    "rfft, an axis, forward": of(lambda xp, m: xp.fft.rfft(m, axis=0, norm="forward"), M),
    "irfft": of(lambda xp, x: xp.fft.irfft(xp.fft.rfft(x) * np.exp(0.5j * np.arange(5))), LONG),
    "irfft, odd": of(lambda xp, x: xp.fft.irfft(xp.fft.rfft(x), n=7) ** 2, LONG),
    "irfft of real numbers": of(lambda xp, x: xp.fft.irfft(x) ** 2, LONG),
    "fft2": of(lambda xp, c: xp.fft.fft2(c), CUBE),
    "ifft2": of(lambda xp, c: xp.fft.ifft2(c), CUBE),
    "fftn": of(lambda xp, c: xp.fft.fftn(c), CUBE),
    "ifftn, axes": of(lambda xp, c: xp.fft.ifftn(c, axes=(0, 1)), CUBE),
    "rfft2": of(lambda xp, c: xp.fft.rfft2(c), CUBE),
    "irfft2": of(lambda xp, c: xp.fft.irfft2(xp.fft.rfft2(c)) ** 2, CUBE),
    "rfftn": of(lambda xp, c: xp.fft.rfftn(c), CUBE),
    "irfftn": of(lambda xp, c: xp.fft.irfftn(xp.fft.rfftn(c) * 2.0) ** 2, CUBE),
    "hfft": of(lambda xp, x: xp.fft.hfft(x) ** 2, LONG),
    "ihfft": of(lambda xp, x: xp.fft.ihfft(x), LONG),
    "fftshift": of(lambda xp, m: xp.fft.fftshift(m) * m, M),
    "ifftshift, an axis": of(lambda xp, m: xp.fft.ifftshift(m, axes=1) * m, M),
    "convolution by fft": of(
        lambda xp, x, z: xp.fft.irfft(xp.fft.rfft(x, n=12) * xp.fft.rfft(z, n=12), n=12)[:10] ** 2, LONG, X
    ),
    "complex product": of(lambda xp, x, y: (x + 1j * y) * (y - 2j * x) ** 2, X, Y),
    "complex exponential": of(lambda xp, x, y: xp.exp((x + 1j * y) * (0.5 + 1j)), X, Y),
    "complex modulus and angle": of(lambda xp, x, y: xp.abs(x + 1j * y) * xp.angle(x + 1j * y), X, Y),
    "conjugate": of(lambda xp, x, y: xp.real(xp.conj(x + 1j * y) * (x * y + 1j)), X, Y),
    "complex reciprocal and root": of(lambda xp, x, y: xp.sqrt(1 / (x + 2.0 + 1j * y)), X, Y),
}  # fmt: skip

# `xp.special` has SciPy's names.
SPECIAL: dict[str, Expression] = {
    "erf": of(lambda xp, x: xp.special.erf(2 * x), X),
    "erfc": of(lambda xp, x: xp.special.erfc(2 * x), X),
    "erfinv": of(lambda xp, x: xp.special.erfinv(0.9 * x), X),
    "gamma": of(lambda xp, x: xp.special.gamma(x), POSITIVE),
    "gammaln": of(lambda xp, x: xp.special.gammaln(x), POSITIVE),
    "digamma": of(lambda xp, x: xp.special.digamma(x), POSITIVE),
    "polygamma": of(lambda xp, x: xp.special.polygamma(1, x), POSITIVE),
    "polygamma, 3": of(lambda xp, x: xp.special.polygamma(3, x), POSITIVE),
    "beta": of(lambda xp, x, y: xp.special.beta(x, y), POSITIVE, 1.3 + Y),
    "betaln": of(lambda xp, x, y: xp.special.betaln(x, y), POSITIVE, 1.3 + Y),
    "logsumexp, special": of(lambda xp, m: xp.special.logsumexp(m, axis=1), M),
    "logsumexp, huge": of(lambda xp, m: xp.special.logsumexp(1000 * m, axis=0), M),
    "softmax, special": of(lambda xp, m: xp.special.softmax(m, axis=1) ** 2, M),
    "log_softmax, special": of(lambda xp, m: xp.special.log_softmax(m, axis=1), M),
    "expit": of(lambda xp, x: xp.special.expit(5 * x), X),
    "logit": of(lambda xp, x: xp.special.logit((1 + 0.9 * x) / 2), X),
    "i0": of(lambda xp, x: xp.special.i0(x), POSITIVE),
    "i1": of(lambda xp, x: xp.special.i1(x), POSITIVE),
    "i0e": of(lambda xp, x: xp.special.i0e(x), POSITIVE),
    "i1e": of(lambda xp, x: xp.special.i1e(x), POSITIVE),
    "j0": of(lambda xp, x: xp.special.j0(x), POSITIVE),
    "j1": of(lambda xp, x: xp.special.j1(x), POSITIVE),
    "xlogy": of(lambda xp, x, y: xp.special.xlogy(x, y), X, 1.3 + Y),
    "xlogy at 0": of(lambda xp, x, y: xp.special.xlogy(x, y), np.array([0.0, 0.0, 2.0]), 1.3 + Y),
    "xlog1py": of(lambda xp, x, y: xp.special.xlog1py(x, y), X, 1.3 + Y),
    "entr": of(lambda xp, x: xp.special.entr(x), POSITIVE),
    "ndtr": of(lambda xp, x: xp.special.ndtr(x), X),
    "norm.logpdf": of(lambda xp, x, m, s: xp.stats.norm.logpdf(x, m, s), X, Y, POSITIVE),
    "t.logpdf": of(lambda xp, x, df: xp.stats.t.logpdf(x, df), X, POSITIVE),
    "gamma.logpdf": of(lambda xp, x, a: xp.stats.gamma.logpdf(x, a), POSITIVE, 1.3 + Y),
    "beta.logpdf": of(lambda xp, x, a, b: xp.stats.beta.logpdf(0.5 + 0.4 * x, a, b), X, POSITIVE, 1.3 + Y),
}

EXPRESSIONS = {**PRODUCTS, **LINALG, **FFT, **SPECIAL}
