task running_maxima (xs: list) -> list
about     The largest element of each beginning of the list.
ensures   length result == length xs
example   [0, -1] -> [0, 0]
example   [3, 4, 0, 5, 8] -> [3, 4, 4, 5, 8]
example   [-1, 5, 0, -5] -> [-1, 5, 5, 5]
example   [-8, 3, 7, 0, 0, -5] -> [-8, 3, 7, 7, 7, 7]
example   [3, -2, -8, -3, 3, 0, -6, 4, 9] -> [3, 3, 3, 3, 3, 3, 3, 4, 9]
reference scan (\x y -> max x y) xs
