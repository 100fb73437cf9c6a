task ascending (xs: list) -> list
about     The elements from the smallest to the largest.
ensures   length result == length xs
ensures   sum result == sum xs
example   [8, -4] -> [-4, 8]
example   [2, -2, -9, 0, 3] -> [-9, -2, 0, 2, 3]
example   [0, 2, 7, 0, 2, -4] -> [-4, 0, 0, 2, 2, 7]
example   [8, -3, 7, -8, -8, 5, -3] -> [-8, -8, -3, -3, 5, 7, 8]
example   [-1, -1, 8, 8, -9, -2, -5, 1, 9] -> [-9, -5, -2, -1, -1, 1, 8, 8, 9]
reference sort xs
