// Money from a rate: once the reader types what an hour of the machine costs, each row of the table says its price.
{
  const form = document.querySelector(".rate");
  const [rate, currency] = [form.querySelector("input"), form.querySelector("select")];
  const [head, ...rows] = document.querySelectorAll(".overview tr");

  const cost = (seconds) => {
    const value = (seconds / 3600) * rate.value;
    const exact = value > 0 && value < 1 ? {maximumSignificantDigits: 2} : {};
    const how = {style: "currency", currency: currency.value, ...exact};
    return new Intl.NumberFormat(document.documentElement.lang, how).format(value);
  };

  const show = () => {
    document.querySelectorAll(".money").forEach((cell) => cell.remove());
    const given = rate.value !== "" && rate.valueAsNumber >= 0;
    form.classList.toggle("given", given);
    form.querySelector("output").textContent = given ? `(${cost(form.dataset.seconds)})` : "";
    if (!given) return;
    const added = (row, tag, text) => {
      const cell = row.appendChild(document.createElement(tag));
      cell.className = "money";
      cell.textContent = text;
      return cell;
    };
    added(head, "th", form.dataset.head).scope = "col";
    rows.forEach((row) => added(row, "td", cost(row.dataset.seconds)));
  };

  form.addEventListener("input", show);
}
