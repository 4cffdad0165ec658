"""The one door to the Bitrix24 portal: nothing else in the product speaks HTTP to it."""
