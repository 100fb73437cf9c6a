task product_of_all (xs: list) -> int
about     The product of a list.
requires  length xs <= 10
example   [5] -> 5
example   [-1, -1, -4, -2, -2, 3, -4] -> 192
example   [1, 1, 1, -2, -3, -4, 3] -> -72
example   [2, -1, 1, 2, 4, 2, 3] -> -96
example   [2, -4, 1, 5, 3, 3, 2, 2] -> -1440
reference product xs
