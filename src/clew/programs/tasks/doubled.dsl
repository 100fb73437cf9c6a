task doubled (xs: list) -> list
about     Every element twice as large.
ensures   sum result == 2 * sum xs
example   [-7, 4] -> [-14, 8]
example   [-7, 0, -5, -2, 6] -> [-14, 0, -10, -4, 12]
example   [4, -4, 2, 7] -> [8, -8, 4, 14]
example   [8, 0, -4, -1, 4, 5, 2] -> [16, 0, -8, -2, 8, 10, 4]
example   [4, -8, 7, -3, -3, 0, -4, -7, -2] -> [8, -16, 14, -6, -6, 0, -8, -14, -4]
reference map (\x -> x * 2) xs
