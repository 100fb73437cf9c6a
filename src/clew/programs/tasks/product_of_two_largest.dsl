task product_of_two_largest (xs: list) -> int
about     The product of the two largest elements.
requires  1 < length xs
example   [-6, -6] -> 36
example   [6, 3, -2, 7] -> 42
example   [4, -6, 4, 8, -6, -3, -8] -> 32
example   [3, -7, 6, -2, 4] -> 24
example   [2, 6, 7, -1, 0, 7, 8, -6, 6] -> 56
reference product (take 2 (reverse (sort xs)))
