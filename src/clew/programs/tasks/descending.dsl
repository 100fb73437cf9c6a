task descending (xs: list) -> list
about     The elements from the largest to the smallest.
ensures   length result == length xs
example   [-5, 5] -> [5, -5]
example   [9, -1, -8, 7, -5, -5] -> [9, 7, -1, -5, -5, -8]
example   [2, -6, 8, 5] -> [8, 5, 2, -6]
example   [-5, -1, -3, 8] -> [8, -1, -3, -5]
example   [2, 5, 6, 5, -6, 1, 3, 1] -> [6, 5, 5, 3, 2, 1, 1, -6]
reference reverse (sort xs)
