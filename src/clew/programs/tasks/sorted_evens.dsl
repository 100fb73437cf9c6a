task sorted_evens (xs: list) -> list
about     The even elements from the smallest to the largest.
ensures   all (\x -> even x) result
example   [0, -2] -> [-2, 0]
example   [-1, -7, 8, 2, 9, -9, 5] -> [2, 8]
example   [7, -2, 3, 2, 9, 0, -2] -> [-2, -2, 0, 2]
example   [1, -2, 3, 8] -> [-2, 8]
example   [5, 9, 8, -4, 5, 1, 4, 8] -> [-4, 4, 8, 8]
reference sort (filter (\x -> even x) xs)
