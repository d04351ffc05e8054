// Counts visits in this browser, to show that scripts are served and run.
const count = Number(localStorage.getItem("visits") ?? 0) + 1;
localStorage.setItem("visits", count);
document.getElementById("count").textContent = count === 1 ? "once" : `${count} times`;
