task reverse_sorted_evens (xs: list) -> list
about     The even elements from the largest to the smallest.
ensures   all (\x -> even x) result
example   [-6, 4] -> [4, -6]
example   [-5, 5, 6, -4, 0, -8] -> [6, 0, -4, -8]
example   [-6, -6, 0, 2, -9, 9] -> [2, 0, -6, -6]
example   [0, 9, 0, -8] -> [0, 0, -8]
example   [-9, 2, 0, 7, 9, -1, -5, 0, -6] -> [2, 0, 0, -6]
reference reverse (sort (filter (\x -> even x) xs))
