task is_member (n: int, xs: list) -> bool
about     Whether a number is in a list.
ensures   result || not (contains n xs)
example   3, [3, 1] -> true
example   0, [] -> false
example   5, [-5, 4, 6, 9] -> false
example   -2, [7, 8, -2] -> true
example   4, [1, 2, 3, 5, 6] -> false
reference contains n xs
