task running_minima (xs: list) -> list
about     The smallest element of each beginning of the list.
ensures   length result == length xs
example   [-2, 8] -> [-2, -2]
example   [1, -6, 8, 7, 2, 7, -1] -> [1, -6, -6, -6, -6, -6, -6]
example   [-1, 3, 7, 6, 5, 1, 1] -> [-1, -1, -1, -1, -1, -1, -1]
example   [3, -6, -8, 8, 9, -5] -> [3, -6, -8, -8, -8, -8]
example   [2, 0, -9, -4, -7, -1, 2, -9, -8] -> [2, 0, -9, -9, -9, -9, -9, -9, -9]
reference scan (\x y -> min x y) xs
