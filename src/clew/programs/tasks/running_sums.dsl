task running_sums (xs: list) -> list
about     The sum of each beginning of the list.
ensures   length result == length xs
ensures   is_empty xs || last result == sum xs
example   [9, 7] -> [9, 16]
example   [2, 2, -7, 5, 6, 1, 1] -> [2, 4, -3, 2, 8, 9, 10]
example   [-5, 3, 9, 5, -2, 8, -5] -> [-5, -2, 7, 12, 10, 18, 13]
example   [5, 4, -9, 5] -> [5, 9, 0, 5]
example   [-2, 1, -8, -4, 8, -3, -3, 9, -5] -> [-2, -1, -9, -13, -5, -8, -11, -2, -7]
reference scan (\x y -> x + y) xs
