"""Identities of The Matrix Cookbook (Petersen and Pedersen, version of November 15, 2012), by their equation numbers.

Each has the function that is differentiated, by which of the names below, and the closed form. Both are Python over
the same names, the function over symgrad's expressions, the closed form over NumPy's arrays: the two share no code.
A function that is no scalar stands for its Jacobian, its own axes first. Where `by` is empty the function holds its
gradient itself. `note` says where the printed form is mistaken or is taken for a special case.
"""

from typing import NamedTuple


class Identity(NamedTuple):
    """One row: equation number, the identity as text, function, name it is differentiated by, closed form."""

    number: int
    text: str
    function: str
    by: str
    closed: str
    note: str = ""


# A matrix that depends on the number t, another that does, and their derivatives.
Y, dY, Z = "(X + t*E + t*t*B)", "(E + 2*t*B)", "(A + t*D)"
RESIDUAL = "(x - A @ s)"
INNER = "(X.T @ B @ X)"  # a function U of X
PXX = "(P.T @ P)"
SYMMETRIC = "(P.T @ V @ P)"  # V is symmetric, as W and H are
SQUARE = "(P.T @ Q @ P)"  # Q is not
SHIFTED = "(W + P.T @ V @ P)"
PSEUDOINVERSE = "(R.T @ inverse(R @ R.T))"  # the pseudo-inverse of a wide matrix

GENERAL = [  # rules for matrices that depend on a number
    Identity(34, "∂(αX) = α ∂X", f"u * {Y}", "t", f"u * {dY}"),
    Identity(35, "∂(X + Y) = ∂X + ∂Y", f"{Y} + {Z}", "t", f"{dY} + D"),
    Identity(36, "∂Tr(X) = Tr(∂X)", f"trace({Y})", "t", f"trace({dY})"),
    Identity(37, "∂(X Y) = (∂X) Y + X (∂Y)", f"{Y} @ {Z}", "t", f"{dY} @ {Z} + {Y} @ D"),
    Identity(38, "∂(X ∘ Y) = (∂X) ∘ Y + X ∘ (∂Y)", f"{Y} * {Z}", "t", f"{dY} * {Z} + {Y} * D"),
    Identity(39, "∂(X ⊗ Y) = (∂X) ⊗ Y + X ⊗ (∂Y)", f"kron({Y}, {Z})", "t", f"kron({dY}, {Z}) + kron({Y}, D)"),
    Identity(40, "∂X⁻¹ = −X⁻¹ (∂X) X⁻¹", "inverse(X + t*E)", "t", "-inverse(X + t*E) @ E @ inverse(X + t*E)"),
    Identity(41, "∂det X = Tr(adj(X) ∂X)", "determinant(X + t*E)", "t", "trace(adjugate(X + t*E) @ E)"),
    Identity(42, "∂det X = det(X) Tr(X⁻¹ ∂X)", f"determinant{Z}", "t", f"determinant{Z} * trace(inverse{Z} @ D)"),
    Identity(43, "∂ln det X = Tr(X⁻¹ ∂X)", "logdet(X + t*E)", "t", "trace(inverse(X + t*E) @ E)"),
    Identity(44, "∂Xᵀ = (∂X)ᵀ", f"{Y}.T", "t", f"{dY}.T"),
]
DETERMINANTS = [
    Identity(46, "∂det(Y)/∂x = det(Y) Tr(Y⁻¹ ∂Y/∂x)",
             f"determinant{Y}", "t", f"determinant{Y} * trace(inverse{Y} @ {dY})"),
    Identity(47, "Σₖ ∂det(X)/∂Xᵢₖ Xⱼₖ = δᵢⱼ det(X)", "gradient(determinant(X), X) @ X.T", "", "determinant(X) * I"),
    Identity(48, "∂²det(Y)/∂x² = det(Y) (Tr(Y⁻¹ Y″) + Tr(Y⁻¹ Y′)² − Tr(Y⁻¹ Y′ Y⁻¹ Y′))",
             f"gradient(determinant{Y}, t)", "t",
             f"determinant{Y} * (trace(inverse{Y} @ (2*B)) + trace(inverse{Y} @ {dY})**2"
             f" - trace(inverse{Y} @ {dY} @ inverse{Y} @ {dY}))"),
    Identity(49, "∂det(X)/∂X = det(X) X⁻ᵀ", "determinant(X)", "X", "determinant(X) * inverse(X).T"),
    Identity(50, "Σₖ ∂det(X)/∂Xᵢₖ Xⱼₖ = δᵢⱼ det(X)", "einsum('ik,jk->ij', gradient(determinant(X), X), X)", "",
             "einsum('ij,->ij', I, determinant(X))", "47 once more, among the linear forms"),
    Identity(51, "∂det(A X B)/∂X = det(A X B) X⁻ᵀ", "determinant(A @ X @ B)", "X",
             "determinant(A @ X @ B) * inverse(X.T)"),
    Identity(52, "∂det(Xᵀ A X)/∂X = 2 det(Xᵀ A X) X⁻ᵀ, X square", "determinant(X.T @ A @ X)", "X",
             "2 * determinant(X.T @ A @ X) * inverse(X).T"),
    Identity(53, "∂det(Xᵀ A X)/∂X = 2 det(Xᵀ A X) A X (Xᵀ A X)⁻¹, A symmetric", f"determinant{SYMMETRIC}", "P",
             f"2 * determinant{SYMMETRIC} * V @ P @ inverse{SYMMETRIC}"),
    Identity(54, "∂det(Xᵀ A X)/∂X = det(Xᵀ A X) (A X (Xᵀ A X)⁻¹ + Aᵀ X (Xᵀ Aᵀ X)⁻¹)", f"determinant{SQUARE}", "P",
             f"determinant{SQUARE} * (Q @ P @ inverse{SQUARE} + Q.T @ P @ inverse(P.T @ Q.T @ P))"),
    Identity(55, "∂ln det(Xᵀ X)/∂X = 2 (X⁺)ᵀ", f"logdet{PXX}", "P", "2 * pseudoinverse(P).T"),
    Identity(56, "∂ln det(Xᵀ X)/∂X⁺ = −2 Xᵀ",
             f"logdet({PSEUDOINVERSE}.T @ {PSEUDOINVERSE})", "R", "-2 * pseudoinverse(R).T"),
    Identity(57, "∂ln |det X|/∂X = X⁻ᵀ", "logdet(-X)", "X", "inverse(X.T)", "of −X, whose determinant is negative"),
    Identity(58, "∂det(Xᵏ)/∂X = k det(Xᵏ) X⁻ᵀ",
             "determinant(X @ X @ X)", "X", "3 * determinant(power(X, 3)) * inverse(X).T"),
]  # fmt: skip
INVERSES = [
    Identity(59, "∂Y⁻¹/∂x = −Y⁻¹ ∂Y/∂x Y⁻¹", f"inverse{Y}", "t", f"-inverse{Y} @ {dY} @ inverse{Y}"),
    Identity(60, "∂(X⁻¹)ₖₗ/∂Xᵢⱼ = −(X⁻¹)ₖᵢ (X⁻¹)ⱼₗ",
             "inverse(X)", "X", "-einsum('ki,jl->klij', inverse(X), inverse(X))"),
    Identity(61, "∂aᵀ X⁻¹ b/∂X = −X⁻ᵀ a bᵀ X⁻ᵀ",
             "a @ inverse(X) @ b", "X", "-inverse(X).T @ outer(a, b) @ inverse(X).T"),
    Identity(62, "∂det(X⁻¹)/∂X = −det(X⁻¹) X⁻ᵀ", "determinant(inverse(X))", "X", "-inverse(X).T / determinant(X)"),
    Identity(63, "∂Tr(A X⁻¹ B)/∂X = −(X⁻¹ B A X⁻¹)ᵀ",
             "trace(A @ inverse(X) @ B)", "X", "-(inverse(X) @ B @ A @ inverse(X)).T"),
    Identity(64, "∂Tr((X + A)⁻¹)/∂X = −((X + A)⁻¹ (X + A)⁻¹)ᵀ",
             "trace(inverse(X + A))", "X", "-power(inverse(X + A), 2).T"),
]  # fmt: skip
VECTORS = [
    Identity(69, "∂xᵀa/∂x = a", "x @ a", "x", "a"),
    Identity(70, "∂aᵀ X b/∂X = a bᵀ", "a @ X @ b", "X", "outer(a, b)"),
    Identity(71, "∂aᵀ Xᵀ b/∂X = b aᵀ", "a @ X.T @ b", "X", "outer(b, a)"),
    Identity(72, "∂aᵀ X a/∂X = ∂aᵀ Xᵀ a/∂X = a aᵀ", "(a @ X @ a + a @ X.T @ a) / 2", "X", "outer(a, a)"),
    Identity(73, "∂X/∂Xᵢⱼ = Jⁱʲ", "X", "X", "by_entry(lambda i, j: J(i, j))"),
    Identity(74, "∂(X A)ᵢⱼ/∂Xₘₙ = δᵢₘ Aₙⱼ", "X @ A", "X", "einsum('im,nj->ijmn', I, A)"),
    Identity(75, "∂(Xᵀ A)ᵢⱼ/∂Xₘₙ = δᵢₙ Aₘⱼ", "X.T @ A", "X", "einsum('in,mj->ijmn', I, A)"),
    Identity(76, "∂/∂Xᵢⱼ Σ Xₖₗ Xₘₙ = 2 Σ Xₖₗ", "einsum('kl,mn->', X, X)", "X", "2 * X.sum() + 0 * X"),
    Identity(77, "∂bᵀ Xᵀ X c/∂X = X (b cᵀ + c bᵀ)", "b @ X.T @ X @ c", "X", "X @ (outer(b, c) + outer(c, b))"),
    Identity(78, "∂(B x + b)ᵀ C (D x + d)/∂x = Bᵀ C (D x + d) + Dᵀ Cᵀ (B x + b)", "(B @ x + b) @ C @ (D @ x + d)", "x",
             "B.T @ C @ (D @ x + d) + D.T @ C.T @ (B @ x + b)"),
    Identity(79, "∂(Xᵀ B X)ₖₗ/∂Xᵢⱼ = δₗⱼ (Xᵀ B)ₖᵢ + δₖⱼ (B X)ᵢₗ", "X.T @ B @ X", "X",
             "einsum('lj,ki->klij', I, X.T @ B) + einsum('kj,il->klij', I, B @ X)"),
    Identity(80, "∂(Xᵀ B X)/∂Xᵢⱼ = Xᵀ B Jⁱʲ + Jʲⁱ B X", INNER, "X",
             "by_entry(lambda i, j: X.T @ B @ J(i, j) + J(j, i) @ B @ X)"),
    Identity(81, "∂xᵀ B x/∂x = (B + Bᵀ) x", "x @ B @ x", "x", "(B + B.T) @ x"),
    Identity(82, "∂bᵀ Xᵀ D X c/∂X = Dᵀ X b cᵀ + D X c bᵀ", "b @ X.T @ D @ X @ c", "X",
             "D.T @ X @ outer(b, c) + D @ X @ outer(c, b)"),
    Identity(83, "∂(X b + c)ᵀ D (X b + c)/∂X = (D + Dᵀ) (X b + c) bᵀ", "(X @ b + c) @ D @ (X @ b + c)", "X",
             "outer((D + D.T) @ (X @ b + c), b)"),
    Identity(84, "∂(x − A s)ᵀ W (x − A s)/∂s = −2 Aᵀ W (x − A s)",
             f"{RESIDUAL} @ W @ {RESIDUAL}", "s", f"-2 * A.T @ W @ {RESIDUAL}"),
    Identity(85, "∂(x − s)ᵀ W (x − s)/∂x = 2 W (x − s)", "(x - s) @ W @ (x - s)", "x", "2 * W @ (x - s)"),
    Identity(86, "∂(x − s)ᵀ W (x − s)/∂s = −2 W (x − s)", "(x - s) @ W @ (x - s)", "s", "-2 * W @ (x - s)"),
    Identity(87, "∂(x − A s)ᵀ W (x − A s)/∂x = 2 W (x − A s)",
             f"{RESIDUAL} @ W @ {RESIDUAL}", "x", f"2 * W @ {RESIDUAL}"),
    Identity(88, "∂(x − A s)ᵀ W (x − A s)/∂A = −2 W (x − A s) sᵀ",
             f"{RESIDUAL} @ W @ {RESIDUAL}", "A", f"-2 * outer(W @ {RESIDUAL}, s)"),
    Identity(89, "∂(a − xᴴ b)²/∂x = −2 b (a − xᴴ b)*", "(u - x @ b)**2", "x", "-2 * b * (u - x @ b)", "real"),
    Identity(90, "∂(Xⁿ)/∂Xᵢⱼ = Σᵣ Xʳ Jⁱʲ Xⁿ⁻¹⁻ʳ", "X @ X @ X", "X",
             "by_entry(lambda i, j: sum(power(X, r) @ J(i, j) @ power(X, 2 - r) for r in range(3)))"),
    Identity(91, "∂aᵀ Xⁿ b/∂X = Σᵣ (Xʳ)ᵀ a bᵀ (Xⁿ⁻¹⁻ʳ)ᵀ", "a @ X @ X @ X @ b", "X",
             "sum(power(X, r).T @ outer(a, b) @ power(X, 2 - r).T for r in range(3))"),
    Identity(92, "∂aᵀ (Xⁿ)ᵀ Xⁿ b/∂X = Σᵣ (Xʳ)ᵀ Xⁿ (b aᵀ + a bᵀ) (Xⁿ⁻¹⁻ʳ)ᵀ", "a @ (X @ X).T @ (X @ X) @ b", "X",
             "sum(power(X, r).T @ X @ X @ (outer(b, a) + outer(a, b)) @ power(X, 1 - r).T for r in range(2))",
             "the printed first term is the transpose of this one"),
    Identity(93, "∂sᵀ A r/∂x = [∂s/∂x]ᵀ A r + [∂r/∂x]ᵀ Aᵀ s", "sin(x) @ A @ exp(B @ x)", "x",
             "diag(cos(x)) @ A @ exp(B @ x) + (diag(exp(B @ x)) @ B).T @ A.T @ sin(x)", "s = sin(x), r = exp(B x)"),
    Identity(94, "∂/∂x xᵀ Aᵀ A x / xᵀ Bᵀ B x = 2 Aᵀ A x / xᵀ Bᵀ B x − 2 xᵀ Aᵀ A x Bᵀ B x / (xᵀ Bᵀ B x)²",
             "(A @ x) @ (A @ x) / ((B @ x) @ (B @ x))", "x",
             "2 * A.T @ A @ x / (x @ B.T @ B @ x) - 2 * (x @ A.T @ A @ x) * B.T @ B @ x / (x @ B.T @ B @ x)**2",
             "printed x'BBx in the first denominator of 95"),
    Identity(97, "∇(xᵀ A x + bᵀ x) = (A + Aᵀ) x + b", "x @ A @ x + b @ x", "x", "(A + A.T) @ x + b"),
    Identity(98, "∂²(xᵀ A x + bᵀ x)/∂x∂xᵀ = A + Aᵀ", "gradient(x @ A @ x + b @ x, x)", "x", "A + A.T"),
]  # fmt: skip
TRACES = [
    Identity(99, "∂Tr(X)/∂X = I", "trace(X)", "X", "I"),
    Identity(100, "∂Tr(X A)/∂X = Aᵀ", "trace(X @ A)", "X", "A.T"),
    Identity(101, "∂Tr(A X B)/∂X = Aᵀ Bᵀ", "trace(A @ X @ B)", "X", "A.T @ B.T"),
    Identity(102, "∂Tr(A Xᵀ B)/∂X = B A", "trace(A @ X.T @ B)", "X", "B @ A"),
    Identity(103, "∂Tr(Xᵀ A)/∂X = A", "trace(X.T @ A)", "X", "A"),
    Identity(104, "∂Tr(A Xᵀ)/∂X = A", "trace(A @ X.T)", "X", "A"),
    Identity(105, "∂Tr(A ⊗ X)/∂X = Tr(A) I", "trace(kron(A, X))", "X", "trace(A) * I"),
    Identity(106, "∂Tr(X²)/∂X = 2 Xᵀ", "trace(X @ X)", "X", "2 * X.T"),
    Identity(107, "∂Tr(X² B)/∂X = (X B + B X)ᵀ", "trace(X @ X @ B)", "X", "(X @ B + B @ X).T"),
    Identity(108, "∂Tr(Xᵀ B X)/∂X = B X + Bᵀ X", "trace(P.T @ Q @ P)", "P", "Q @ P + Q.T @ P"),
    Identity(109, "∂Tr(B X Xᵀ)/∂X = B X + Bᵀ X", "trace(Q @ P @ P.T)", "P", "Q @ P + Q.T @ P"),
    Identity(110, "∂Tr(X Xᵀ B)/∂X = B X + Bᵀ X", "trace(P @ P.T @ Q)", "P", "Q @ P + Q.T @ P"),
    Identity(111, "∂Tr(X B Xᵀ)/∂X = X Bᵀ + X B", "trace(P @ B @ P.T)", "P", "P @ B.T + P @ B"),
    Identity(112, "∂Tr(B Xᵀ X)/∂X = X Bᵀ + X B", "trace(B @ P.T @ P)", "P", "P @ B.T + P @ B"),
    Identity(113, "∂Tr(Xᵀ X B)/∂X = X Bᵀ + X B", "trace(P.T @ P @ B)", "P", "P @ B.T + P @ B"),
    Identity(114, "∂Tr(A X B X)/∂X = Aᵀ Xᵀ Bᵀ + Bᵀ Xᵀ Aᵀ",
             "trace(A @ X @ B @ X)", "X", "A.T @ X.T @ B.T + B.T @ X.T @ A.T"),
    Identity(115, "∂Tr(Xᵀ X)/∂X = ∂Tr(X Xᵀ)/∂X = 2 X", "(trace(P.T @ P) + trace(P @ P.T)) / 2", "P", "2 * P"),
    Identity(116, "∂Tr(Bᵀ Xᵀ C X B)/∂X = Cᵀ X B Bᵀ + C X B Bᵀ", "trace(B.T @ P.T @ Q @ P @ B)", "P",
             "Q.T @ P @ B @ B.T + Q @ P @ B @ B.T"),
    Identity(117, "∂Tr(Xᵀ B X C)/∂X = B X C + Bᵀ X Cᵀ", "trace(P.T @ Q @ P @ C)", "P", "Q @ P @ C + Q.T @ P @ C.T"),
    Identity(118, "∂Tr(A X B Xᵀ C)/∂X = Aᵀ Cᵀ X Bᵀ + C A X B", "trace(A @ X @ B @ X.T @ C)", "X",
             "A.T @ C.T @ X @ B.T + C @ A @ X @ B"),
    Identity(119, "∂Tr((A X B + C)(A X B + C)ᵀ)/∂X = 2 Aᵀ (A X B + C) Bᵀ",
             "trace((A @ X @ B + C) @ (A @ X @ B + C).T)", "X",
             "2 * A.T @ (A @ X @ B + C) @ B.T"),
    Identity(120, "∂Tr(X ⊗ X)/∂X = 2 Tr(X) I", "trace(kron(X, X))", "X", "2 * trace(X) * I"),
    Identity(121, "∂Tr(Xᵏ)/∂X = k (Xᵏ⁻¹)ᵀ", "trace(X @ X @ X)", "X", "3 * power(X, 2).T"),
    Identity(122, "∂Tr(A Xᵏ)/∂X = Σᵣ (Xʳ A Xᵏ⁻ʳ⁻¹)ᵀ", "trace(A @ X @ X @ X)", "X",
             "sum((power(X, r) @ A @ power(X, 2 - r)).T for r in range(3))"),
    Identity(123, "∂Tr(Bᵀ Xᵀ C X Xᵀ C X B)/∂X = C X Xᵀ C X B Bᵀ + Cᵀ X B Bᵀ Xᵀ Cᵀ X"
             " + C X B Bᵀ Xᵀ C X + Cᵀ X Xᵀ Cᵀ X B Bᵀ",
             "trace(B.T @ P.T @ Q @ P @ P.T @ Q @ P @ B)", "P",
             "Q @ P @ P.T @ Q @ P @ B @ B.T + Q.T @ P @ B @ B.T @ P.T @ Q.T @ P"
             " + Q @ P @ B @ B.T @ P.T @ Q @ P + Q.T @ P @ P.T @ Q.T @ P @ B @ B.T"),
    Identity(124, "∂Tr(A X⁻¹ B)/∂X = −X⁻ᵀ Aᵀ Bᵀ X⁻ᵀ",
             "trace(A @ inverse(X) @ B)", "X", "-inverse(X).T @ A.T @ B.T @ inverse(X).T"),
    Identity(125, "∂Tr((Xᵀ C X)⁻¹ A)/∂X = −C X (Xᵀ C X)⁻¹ (A + Aᵀ) (Xᵀ C X)⁻¹", f"trace(inverse{SYMMETRIC} @ A)", "P",
             f"-V @ P @ inverse{SYMMETRIC} @ (A + A.T) @ inverse{SYMMETRIC}"),
    Identity(126, "∂Tr((Xᵀ C X)⁻¹ (Xᵀ B X))/∂X = −2 C X (Xᵀ C X)⁻¹ Xᵀ B X (Xᵀ C X)⁻¹ + 2 B X (Xᵀ C X)⁻¹",
             f"trace(inverse{SYMMETRIC} @ (P.T @ H @ P))", "P",
             f"-2 * V @ P @ inverse{SYMMETRIC} @ P.T @ H @ P @ inverse{SYMMETRIC} + 2 * H @ P @ inverse{SYMMETRIC}"),
    Identity(127, "∂Tr((A + Xᵀ C X)⁻¹ (Xᵀ B X))/∂X = −2 C X (…)⁻¹ Xᵀ B X (…)⁻¹ + 2 B X (…)⁻¹",
             f"trace(inverse{SHIFTED} @ (P.T @ H @ P))", "P",
             f"-2 * V @ P @ inverse{SHIFTED} @ P.T @ H @ P @ inverse{SHIFTED} + 2 * H @ P @ inverse{SHIFTED}",
             "A symmetric too"),
]  # fmt: skip
NORMS = [
    Identity(129, "∂‖x − a‖/∂x = (x − a) / ‖x − a‖", "norm(x - a)", "x", "(x - a) / norm(x - a)"),
    Identity(130, "∂/∂x (x − a)/‖x − a‖ = I/‖x − a‖ − (x − a)(x − a)ᵀ/‖x − a‖³", "(x - a) / norm(x - a)", "x",
             "I / norm(x - a) - outer(x - a, x - a) / norm(x - a)**3"),
    Identity(131, "∂‖x‖²/∂x = ∂xᵀx/∂x = 2 x", "norm(x)**2", "x", "2 * x"),
    Identity(132, "∂‖X‖²/∂X = 2 X, by the Frobenius norm", "norm(P)**2", "P", "2 * P"),
]  # fmt: skip
# Matrices with a structure: `mirror(L)` is symmetric with L's lower triangle, `toeplitz(z)` has z along its diagonals.
STRUCTURED = [
    Identity(137, "∂g(U)/∂Xᵢⱼ = Tr((∂g/∂U)ᵀ ∂U/∂Xᵢⱼ)", f"determinant{INNER}", "X",
             f"by_entry(lambda i, j: trace(adjugate{INNER} @ (X.T @ B @ J(i, j) + J(j, i) @ B @ X)))",
             "g = det, U = Xᵀ B X"),
    Identity(138, "df/dA = ∂f/∂A + (∂f/∂A)ᵀ − diag(∂f/∂A), A symmetric", "a @ mirror(L) @ mirror(L) @ b", "L",
             "lower(outer(a, mirror(L) @ b) + outer(mirror(L) @ a, b))", "f = aᵀ A² b"),
    Identity(139, "∂Tr(A X)/∂X = A + Aᵀ − A ∘ I, X symmetric", "trace(A @ mirror(L))", "L", "tril(A + A.T - A * I)"),
    Identity(140, "∂det(X)/∂X = det(X) (2 X⁻¹ − X⁻¹ ∘ I), X symmetric", "determinant(mirror(L))", "L",
             "determinant(mirror(L)) * tril(2 * inverse(mirror(L)) - inverse(mirror(L)) * I)"),
    Identity(141, "∂ln det(X)/∂X = 2 X⁻¹ − X⁻¹ ∘ I, X symmetric", "logdet(mirror(L))", "L",
             "tril(2 * inverse(mirror(L)) - inverse(mirror(L)) * I)"),
    Identity(142, "∂Tr(A X)/∂X = A ∘ I, X diagonal", "trace(A @ diag(x))", "x", "diagonal(A * I)"),
    Identity(143, "∂Tr(A T)/∂T = sums along the diagonals of Aᵀ, T Toeplitz", "trace(A @ toeplitz(z))", "z",
             "array([trace(A.T, k) for k in range(-2, 3)])", "one entry for each diagonal"),
]  # fmt: skip
IDENTITIES = [*GENERAL, *DETERMINANTS, *INVERSES, *VECTORS, *TRACES, *NORMS, *STRUCTURED]
