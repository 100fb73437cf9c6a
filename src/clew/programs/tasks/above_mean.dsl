task above_mean (xs: list) -> list
about     The elements above the mean.
ensures   length result < length xs || is_empty xs
example   [9] -> []
example   [4, 5, -9, 1, -3, -4, 9] -> [4, 5, 1, 9]
example   [7, -1, 2, 4, -6, -3, -6] -> [7, 2, 4]
example   [-1, 6, -7, 0, 6] -> [6, 6]
example   [9, 6, -3, -4, 5, 0, 3, 2, 6] -> [9, 6, 5, 3, 6]
reference filter (\x -> sum xs < x * length xs) xs
