task running_products (xs: list) -> list
about     The product of each beginning of the list.
requires  length xs <= 10
ensures   length result == length xs
example   [3, 1] -> [3, 3]
example   [1, 0, 3, 0, -1, 2, 3] -> [1, 0, 0, 0, 0, 0, 0]
example   [-2, 1, 0, -2, -3, 4, -2] -> [-2, -2, 0, 0, 0, 0, 0]
example   [-4, 5, -2, -2, 2] -> [-4, -20, 40, -80, -160]
example   [-4, 3, -3, 0, -4, -1, -3, -1, 3] -> [-4, -12, 36, 0, 0, 0, 0, 0, 0]
reference scan (\x y -> x * y) xs
